//! The compiler proper: numbers pipelines, units, filters and variables, and resolves what refers to other rules.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::notices::Notices;
use super::numbers::{self, Numbered};
use super::{Item, Loader, closing, operator, select, updates};
use crate::error::{LoadError, LoadErrorKind, Location, NoticeKind};
use crate::filter::FilterBuilder;
use crate::gates::Gates;
use crate::lang::actions::{self, Action, Ctl, SetVar};
use crate::lang::ast::{OperatorAst, Placed, RuleAst, RuleSelector};
use crate::lang::macros::{Piece, Template};
use crate::lang::variables::{Selector, Target, Variable};
use crate::pattern::Pattern;
use crate::ruleset::{
    Change, Disruptive, Effect, Flow, Member, Name, Names, Rule, RuleSet, TargetRemoval, Test,
    Text, TextPiece, Which,
};
use crate::transform::Transformation;

/// Steps of one pipeline.
const STEPS_MAX: usize = 32;

pub(super) fn build(loader: Loader) -> Result<RuleSet, LoadError> {
    let mut items = loader.items;
    updates::apply(&mut items, &loader.updates);
    if let Some(level) = loader.paranoia_max {
        items.retain(
            |item| !matches!(item, Item::Chain(chain, _) if updates::is_above(chain, level)),
        );
    }
    let mut builder = Builder {
        defaults: loader.defaults,
        ..Builder::default()
    };
    for digit in 0..10 {
        builder.names.intern(&digit.to_string());
    }
    for item in items {
        match item {
            Item::Marker(name) => builder
                .markers
                .push((name, builder.phases.each_ref().map(Vec::len))),
            Item::Chain(chain, folder) => builder.chain(&chain, &folder)?,
        }
    }
    builder.finish(loader.settings)
}

/// Effects that name rules by something that is resolved when all rules are there.
enum Pending {
    Remove(RuleSelector),
    RemoveTargets(RuleSelector, Vec<Member>),
}

#[derive(Default)]
struct Builder {
    defaults: HashMap<u8, Vec<Placed<Action>>>,
    rules: Vec<Rule>,
    phases: [Vec<u32>; 6],
    names: Names,
    numbered: Numbered,
    filters: FilterBuilder,
    ids: HashSet<u64>,
    /// (name, how many heads of each phase come before it)
    markers: Vec<(String, [usize; 6])>,
    /// (rule, its phase, its position in the phase, marker, place)
    jumps: Vec<(u32, usize, usize, String, Location)>,
    pending: Vec<(u32, Pending)>,
    patterns: HashMap<String, Arc<Pattern>>,
    notices: Notices,
}

impl Builder {
    fn chain(&mut self, chain: &[RuleAst], folder: &Path) -> Result<(), LoadError> {
        let Some(head) = chain.first() else {
            return Ok(());
        };
        let phase = head
            .actions
            .iter()
            .rev()
            .find_map(|action| match action.item {
                Action::Phase(phase) => Some(usize::from(phase)),
                _ => None,
            });
        let phase = phase.unwrap_or(2);
        let id = head
            .actions
            .iter()
            .rev()
            .find_map(|action| match action.item {
                Action::Id(id) => Some(id),
                _ => None,
            });
        let id =
            id.ok_or_else(|| LoadError::new(head.location.clone(), LoadErrorKind::MissingId))?;
        if !self.ids.insert(id) {
            return Err(LoadError::new(
                head.location.clone(),
                LoadErrorKind::DuplicateId(id),
            ));
        }
        let first = self.next_index();
        let position = self.phases[phase].len();
        self.phases[phase].push(first);
        for (place, ast) in chain.iter().enumerate() {
            let index = self.next_index();
            let mut rule = self.rule(ast, folder, index, id, (phase, position))?;
            if place + 1 < chain.len() {
                rule.next = Some(index + 1);
            }
            self.rules.push(rule);
        }
        Ok(())
    }

    fn next_index(&self) -> u32 {
        u32::try_from(self.rules.len()).unwrap_or(u32::MAX)
    }

    fn rule(
        &mut self,
        ast: &RuleAst,
        folder: &Path,
        index: u32,
        id: u64,
        at: (usize, usize),
    ) -> Result<Rule, LoadError> {
        let mut rule = Rule {
            id,
            location: ast.location.clone(),
            targets: Vec::new(),
            exclusions: Vec::new(),
            test: None,
            pipeline: 0,
            multi_match: false,
            capture: false,
            log: true,
            audit_log: true,
            disruptive: Disruptive::Pass,
            status: 403,
            effects: Vec::new(),
            flow: Flow::Next,
            next: None,
            message: Text::default(),
            logdata: Text::default(),
            tags: Vec::new(),
            severity: None,
            version: None,
        };
        let phase_number = u8::try_from(at.0).unwrap_or(2);
        let defaults = self
            .defaults
            .get(&phase_number)
            .cloned()
            .unwrap_or_default();
        let mut steps = Vec::new();
        for action in &defaults {
            // `block` means what the default says, so the default is applied first.
            self.action(&mut rule, action, &mut steps, (index, at))?;
        }
        let blocking = (rule.disruptive.clone(), rule.status);
        rule.disruptive = Disruptive::Pass;
        let mut named = false;
        for action in &ast.actions {
            match action.item {
                Action::Block => (rule.disruptive, rule.status) = blocking.clone(),
                _ => self.action(&mut rule, action, &mut steps, (index, at))?,
            }
            named |= matches!(
                action.item,
                Action::Block
                    | Action::Deny
                    | Action::Drop
                    | Action::Pass
                    | Action::Allow(_)
                    | Action::Redirect(_)
            );
        }
        if !named {
            (rule.disruptive, rule.status) = blocking;
        }
        rule.pipeline = self.pipeline(steps, &ast.location)?;
        let mut kept = Vec::new();
        for target in &ast.targets {
            let member = self
                .member(&target.item)
                .map_err(|kind| LoadError::new(target.location.clone(), kind))?;
            if target.item.excluded {
                rule.exclusions.push(member);
            } else {
                kept.push(target.item.clone());
                rule.targets.push(member);
            }
        }
        if let Some(operator) = &ast.operator {
            rule.test = Some(self.test(operator, folder, &rule, kept)?);
        }
        Ok(rule)
    }

    fn test(
        &mut self,
        ast: &Placed<OperatorAst>,
        folder: &Path,
        rule: &Rule,
        targets: Vec<Target>,
    ) -> Result<Test, LoadError> {
        let compiled = operator::compile(&ast.item, folder)
            .map_err(|kind| LoadError::new(ast.location.clone(), kind))?;
        if operator::is_never_asked(&ast.item.name) {
            let kind = NoticeKind::NotAsked {
                operator: ast.item.name.clone(),
                negated: ast.item.negated,
            };
            self.notices.add(&ast.location, rule.id, kind);
        }
        let filterable = !ast.item.negated && targets.iter().all(|target| !target.count);
        let filter = if filterable {
            self.filters.add(compiled.requirement)
        } else {
            None
        };
        let mut units = Vec::new();
        // One that is no member of the stored collections has to be looked at whatever the units say.
        if filter.is_some()
            && targets
                .iter()
                .all(|target| crate::transaction::is_stored(target.variable))
        {
            for target in targets {
                let member = self
                    .member(&target)
                    .map_err(|kind| LoadError::new(rule.location.clone(), kind))?;
                let by = (rule.pipeline, rule.multi_match);
                units.push(self.numbered.unit(target, member, by));
            }
        }
        let group = (!units.is_empty()).then(|| self.numbered.group(units));
        Ok(Test {
            operator: compiled.operator,
            negated: ast.item.negated,
            argument: self.text(&compiled.argument),
            filter,
            group,
        })
    }

    fn pipeline(&mut self, steps: Vec<Transformation>, place: &Location) -> Result<u32, LoadError> {
        if steps.len() > STEPS_MAX {
            return Err(LoadError::new(
                place.clone(),
                LoadErrorKind::TooMany("transformations", STEPS_MAX),
            ));
        }
        Ok(self.numbered.pipeline(steps))
    }

    fn action(
        &mut self,
        rule: &mut Rule,
        action: &Placed<Action>,
        steps: &mut Vec<Transformation>,
        (index, at): (u32, (usize, usize)),
    ) -> Result<(), LoadError> {
        match &action.item {
            Action::Id(_)
            | Action::Phase(_)
            | Action::Chain
            | Action::Inert(_)
            | Action::Rev(_) => {}
            Action::NotDone(what) => {
                let kind = NoticeKind::NotDone(what);
                self.notices.add(&action.location, rule.id, kind);
            }
            Action::Block => {}
            Action::Pass => rule.disruptive = Disruptive::Pass,
            Action::Deny => rule.disruptive = Disruptive::Deny,
            Action::Drop => rule.disruptive = Disruptive::Drop,
            Action::Allow(scope) => rule.disruptive = Disruptive::Allow(*scope),
            Action::Redirect(to) => rule.disruptive = Disruptive::Redirect(self.text(to)),
            Action::Status(status) => rule.status = *status,
            Action::Msg(message) => rule.message = self.text(message),
            Action::LogData(data) => rule.logdata = self.text(data),
            Action::Tag(tag) => rule.tags.push(Arc::from(tag.as_str())),
            Action::Ver(version) => rule.version = Some(Arc::from(version.as_str())),
            Action::Severity(severity) => rule.severity = Some(*severity),
            Action::Transform(None) => steps.clear(),
            Action::Transform(Some(step)) => steps.push(*step),
            Action::Capture => rule.capture = true,
            Action::MultiMatch => rule.multi_match = true,
            Action::Log(on) => rule.log = *on,
            Action::AuditLog(on) => rule.audit_log = *on,
            Action::SetVar(change) => rule.effects.push(self.set_var(change)),
            Action::ExpireVar(collection, name, seconds) => {
                let effect = Effect::Expire {
                    collection: *collection,
                    name: self.name(*collection, name),
                    seconds: self.text(seconds),
                };
                rule.effects.push(effect);
            }
            Action::InitCol(collection, key) => {
                rule.effects.push(Effect::Open {
                    collection: *collection,
                    key: self.text(key),
                });
            }
            Action::Skip(count) => rule.flow = Flow::Skip(*count),
            Action::SkipAfter(marker) => {
                self.jumps
                    .push((index, at.0, at.1, marker.clone(), action.location.clone()));
            }
            Action::Ctl(ctl) => self
                .ctl(rule, ctl, index)
                .map_err(|kind| LoadError::new(action.location.clone(), kind))?,
        }
        Ok(())
    }

    fn ctl(&mut self, rule: &mut Rule, ctl: &Ctl, index: u32) -> Result<(), LoadErrorKind> {
        rule.effects.push(match ctl {
            Ctl::AuditLogParts => return Ok(()),
            Ctl::AuditEngine(on) => Effect::AuditEngine(*on),
            Ctl::ForceRequestBodyVariable(on) => Effect::ForceRequestBody(*on),
            Ctl::RequestBodyAccess(on) => Effect::RequestBodyAccess(*on),
            Ctl::ResponseBodyAccess(on) => Effect::ResponseBodyAccess(*on),
            Ctl::RequestBodyProcessor(processor) => Effect::RequestProcessor(*processor),
            Ctl::RuleEngine(mode) => Effect::Engine(*mode),
            Ctl::RuleRemove(rules) => {
                self.pending.push((index, Pending::Remove(rules.clone())));
                return Ok(());
            }
            Ctl::RuleRemoveTarget(rules, targets) => {
                let members = targets
                    .iter()
                    .map(|target| self.member(target))
                    .collect::<Result<_, _>>()?;
                self.pending
                    .push((index, Pending::RemoveTargets(rules.clone(), members)));
                return Ok(());
            }
        });
        Ok(())
    }

    fn set_var(&mut self, change: &SetVar) -> Effect {
        Effect::Set {
            collection: change.collection,
            name: self.name(change.collection, &change.name),
            change: match &change.change {
                actions::Change::Set(value) => Change::Set(self.text(value)),
                actions::Change::Add(value) => Change::Add(self.text(value)),
                actions::Change::Subtract(value) => Change::Subtract(self.text(value)),
                actions::Change::Unset => Change::Unset,
            },
        }
    }

    fn name(&mut self, collection: Variable, name: &Template) -> Name {
        match name.fixed().map(String::from_utf8_lossy) {
            Some(fixed) if collection == Variable::Tx => Name::Slot(self.names.intern(&fixed)),
            _ => Name::Text(self.text(name)),
        }
    }

    fn text(&mut self, template: &Template) -> Text {
        let pieces = template.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => TextPiece::Plain(text.clone().into()),
            Piece::Value(Variable::Tx, Some(name)) => TextPiece::Slot(self.names.intern(name)),
            Piece::Value(variable, key) => TextPiece::Value(
                *variable,
                key.as_ref()
                    .map(|key| key.to_ascii_lowercase().into_bytes().into()),
            ),
        });
        Text(pieces.collect())
    }

    fn member(&mut self, target: &Target) -> Result<Member, LoadErrorKind> {
        let which = match &target.selector {
            Selector::All => Which::All,
            Selector::Key(key) if target.variable == Variable::Tx => {
                Which::Slot(self.names.intern(key))
            }
            Selector::Key(key) => Which::Key(key.to_ascii_lowercase().into_bytes().into()),
            Selector::Pattern(source) => Which::Pattern(self.pattern(source)?),
        };
        Ok(Member {
            variable: target.variable,
            which,
            count: target.count,
        })
    }

    /// Names are compared without case, by patterns too.
    fn pattern(&mut self, source: &str) -> Result<Arc<Pattern>, LoadErrorKind> {
        if let Some(known) = self.patterns.get(source) {
            return Ok(known.clone());
        }
        let compiled =
            Pattern::compile(&format!("(?i){source}")).map_err(LoadErrorKind::BadPattern)?;
        Ok(self
            .patterns
            .entry(source.to_owned())
            .or_insert(Arc::new(compiled))
            .clone())
    }

    fn finish(mut self, settings: crate::ruleset::Settings) -> Result<RuleSet, LoadError> {
        for (rule, phase, position, marker, place) in std::mem::take(&mut self.jumps) {
            let target = self
                .markers
                .iter()
                .find(|(name, before)| *name == marker && before[phase] > position);
            let (_, before) = target
                .ok_or_else(|| LoadError::new(place, LoadErrorKind::UnknownMarker(marker)))?;
            self.rules[rule as usize].flow =
                Flow::To(u32::try_from(before[phase]).unwrap_or(u32::MAX));
        }
        for (rule, pending) in std::mem::take(&mut self.pending) {
            let heads = self.phases.iter().flatten().copied();
            let effect = match pending {
                Pending::Remove(rules) => Effect::Remove(select::mask(&rules, &self.rules, heads)),
                Pending::RemoveTargets(rules, members) => {
                    let rules = select::mask(&rules, &self.rules, heads);
                    Effect::RemoveTargets(Arc::new(TargetRemoval { rules, members }))
                }
            };
            self.rules[rule as usize].effects.push(effect);
        }
        let patterned = numbers::patterned(&self.rules, &self.names);
        let filters = self.filters.build();
        let mut asks_body_length = Vec::new();
        for &head in self.phases.iter().flatten() {
            let mut next = Some(head);
            while let Some(rule) = next.map(|index| &self.rules[index as usize]) {
                let asks = |member: &Member| member.variable == Variable::RequestBodyLength;
                if rule.targets.iter().any(asks) {
                    asks_body_length.push(head);
                    break;
                }
                next = rule.next;
            }
        }
        Ok(RuleSet {
            asks_body_length,
            gates: Gates::new(&self.phases, &self.rules, &self.numbered.pipelines),
            closing: closing::mask(&self.rules, self.phases.iter().flatten().copied()),
            notices: self.notices.into_inner(),
            rules: self.rules,
            phases: self.phases,
            names: self.names,
            patterned,
            pipelines: self.numbered.pipelines,
            units: self.numbered.units,
            groups: self.numbered.groups,
            filters,
            settings,
        })
    }
}
