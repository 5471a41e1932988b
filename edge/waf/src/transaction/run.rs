//! The rules of a phase, one after another.

use super::dynamic::selects;
use super::store::Entry;
use super::values::{NONE, ValueId};
use super::vars::TxValue;
use super::{Matched, Transaction, is_stored};
use crate::gates::{Does, Gate};
use crate::lang::ast::EngineMode;
use crate::lang::variables::Variable;
use crate::operator::{Hit, Operator, leading_number};
use crate::pattern::take_gave_up;
use crate::pipeline::Pipeline;
use crate::ruleset::{Flow, Member, Rule, RuleSet, Test, Which};
use crate::transform::Transformation;
use crate::verdict::Outcome;

/// The budget is looked at after this many rules.
const RULES_BETWEEN_CHECKS: u32 = 16;

impl Transaction {
    pub(super) fn run_phase(&mut self, phase: u8) -> Outcome {
        let stopped = phase < 5 && (self.is_blocked() || phase <= self.allowed_through);
        if stopped || self.overrun || self.engine == EngineMode::Off {
            return self.outcome();
        }
        let set = self.set.clone();
        self.begin_spending();
        // What was before on this thread is somebody else's.
        take_gave_up();
        self.units.resize(&set);
        let heads = &set.phases[usize::from(phase)];
        let mut at = 0;
        let mut since_check = 0;
        while let Some(&head) = heads.get(at) {
            at += 1;
            since_check += 1;
            if since_check >= RULES_BETWEEN_CHECKS {
                since_check = 0;
                if self.is_over_budget() {
                    at -= 1;
                    break;
                }
            }
            if self.removed.contains(head) {
                continue;
            }
            match self.gate(&set, set.gates.get(phase, at - 1)) {
                Passage::Open => {}
                Passage::Closed => {
                    self.note(head, Some(head));
                    continue;
                }
                Passage::By(flow) => {
                    self.note(head, None);
                    at = flow.from(at);
                    continue;
                }
            }
            let matched = self.chain(&set, head);
            if take_gave_up() {
                self.leave_unfinished(&set, head);
            }
            if !matched {
                continue;
            }
            self.conclude(&set, head, phase);
            at = flow(&set, head).from(at);
            let done = phase < 5 && (self.is_blocked() || phase <= self.allowed_through);
            if done || self.engine == EngineMode::Off {
                break;
            }
        }
        self.end_spending();
        if self.overrun && !self.ended_early {
            self.close(&set, phase, at);
        }
        self.values.give_back();
        self.outcome()
    }

    /// Runs a chain; true if all of it matched.
    pub(super) fn chain(&mut self, set: &RuleSet, head: u32) -> bool {
        self.matched_before.clear();
        self.matched.clear();
        let mut next = Some(head);
        while let Some(index) = next {
            let rule = &set.rules[index as usize];
            // The head's has been asked, if it has one.
            let mut may_match = true;
            if index != head {
                std::mem::swap(&mut self.matched, &mut self.matched_before);
                self.matched.clear();
                may_match = self.may_match(set, rule);
            }
            if !may_match || !self.rule(set, rule, head) {
                self.note(head, Some(index));
                return false;
            }
            next = rule.next;
        }
        self.note(head, None);
        true
    }

    /// Whether any value may match, as far as the filter says.
    fn may_match(&mut self, set: &RuleSet, rule: &Rule) -> bool {
        let test = rule.test.as_ref();
        let asked = test.and_then(|test| Some((test.group?, test.filter?)));
        asked.is_none_or(|(group, filter)| self.group_passes(set, group, filter))
    }

    /// What a chain's gate says.
    #[inline]
    fn gate(&mut self, set: &RuleSet, gate: &Gate) -> Passage {
        match gate {
            Gate::Open => Passage::Open,
            Gate::Filter { filter, group } => match self.group_passes(set, *group, *filter) {
                true => Passage::Open,
                false => Passage::Closed,
            },
            Gate::Number { test, does } => match (test.holds(&self.vars), does) {
                (false, _) => Passage::Closed,
                (true, Does::GoesOn(flow)) => Passage::By(*flow),
                (true, Does::More) => Passage::Open,
            },
        }
    }

    pub(super) fn rule(&mut self, set: &RuleSet, rule: &Rule, head: u32) -> bool {
        let Some(test) = &rule.test else {
            self.effects(set, rule);
            return true;
        };
        let argument = self.resolve(set, rule, &test.argument);
        let check = Check {
            set,
            rule,
            test,
            head,
            argument: &argument,
        };
        let mut matched = false;
        for target in &rule.targets {
            matched |= self.target(&check, target);
        }
        matched
    }

    fn is_excluded(&self, check: &Check<'_>, variable: Variable, name: &[u8]) -> bool {
        let covers = |member: &Member| member.variable == variable && selects(&member.which, name);
        check.rule.exclusions.iter().any(covers) || self.removals.cover(check.head, variable, name)
    }

    fn target(&mut self, check: &Check<'_>, target: &Member) -> bool {
        if let Which::Slot(slot) = target.which {
            return self.slot_target(check, target, slot);
        }
        if matches!(check.test.operator, Operator::Country) {
            return self.store.list(Variable::Geo).is_empty() == check.test.negated;
        }
        if is_stored(target.variable) {
            return self.stored_target(check, target);
        }
        let found = self.dynamic(check.set, target);
        if target.count {
            let count = found
                .iter()
                .filter(|found| {
                    !self.is_excluded(
                        check,
                        target.variable,
                        found.name.as_deref().unwrap_or_default(),
                    )
                })
                .count();
            return self.count(check, target, count);
        }
        let mut matched = false;
        for found in found {
            if !self.is_excluded(
                check,
                target.variable,
                found.name.as_deref().unwrap_or_default(),
            ) {
                matched |= self.loose(check, target.variable, found.name, &found.value);
            }
        }
        matched
    }

    /// A transaction variable by its slot: the most frequent target, and most often a number.
    fn slot_target(&mut self, check: &Check<'_>, target: &Member, slot: u32) -> bool {
        if let Operator::Country = check.test.operator {
            return self.store.list(Variable::Geo).is_empty() == check.test.negated;
        }
        let value = self.vars.slot(slot);
        if target.count {
            return self.count(check, target, usize::from(value.is_some()));
        }
        let Some(value) = value else { return false };
        let name = || check.set.names.list.get(slot as usize).cloned();
        if let (Operator::Compare(comparison), true) =
            (&check.test.operator, check.steps().is_empty())
        {
            if comparison.holds(value.number(), leading_number(check.argument))
                == check.test.negated
            {
                return false;
            }
            let matched = Matched {
                variable: Variable::Tx,
                name: name(),
                value: value.bytes().into(),
            };
            self.on_match(check, matched, Some(Hit::Whole));
            return true;
        }
        let value = value.bytes().into_owned();
        self.loose(check, Variable::Tx, name(), &value)
    }

    fn count(&mut self, check: &Check<'_>, target: &Member, count: usize) -> bool {
        if let (Operator::Compare(comparison), true) =
            (&check.test.operator, check.steps().is_empty())
        {
            let number = i64::try_from(count).unwrap_or(i64::MAX);
            if comparison.holds(number, leading_number(check.argument)) == check.test.negated {
                return false;
            }
            let matched = Matched {
                variable: target.variable,
                name: None,
                value: number.to_string().into_bytes().into(),
            };
            self.on_match(check, matched, Some(Hit::Whole));
            return true;
        }
        let text = count.to_string();
        self.loose(check, target.variable, None, text.as_bytes())
    }

    fn stored_target(&mut self, check: &Check<'_>, target: &Member) -> bool {
        let mut matched = false;
        let mut count = 0;
        let excludes = self.may_exclude(check, target.variable);
        for index in 0..self.store.list(target.variable).len() {
            let entry = self.store.list(target.variable)[index];
            if !self.is_member(&target.which, entry)
                || excludes && self.is_excluded(check, target.variable, self.values.get(entry.name))
            {
                continue;
            }
            count += 1;
            if !target.count {
                matched |= self.stored(check, target.variable, entry);
            }
        }
        if target.count {
            self.count(check, target, count)
        } else {
            matched
        }
    }

    /// Whether any value of a collection may be excluded, whatever its name.
    fn may_exclude(&self, check: &Check<'_>, variable: Variable) -> bool {
        let covers = |member: &Member| member.variable == variable;
        self.removals.concern(variable) || check.rule.exclusions.iter().any(covers)
    }

    fn stored(&mut self, check: &Check<'_>, variable: Variable, entry: Entry) -> bool {
        let pipeline = check.pipeline();
        let name = entry.name;
        if !check.rule.multi_match {
            let value = self
                .values
                .pipeline(entry.value, check.rule.pipeline, pipeline);
            return self.stored_value(check, variable, Entry { name, value });
        }
        let mut matched = self.stored_value(check, variable, entry);
        let mut value = entry.value;
        for step in pipeline.steps() {
            let changed = self.values.transform(value, *step);
            if changed != value {
                value = changed;
                matched |= self.stored_value(check, variable, Entry { name, value });
            }
        }
        matched
    }

    #[inline]
    fn stored_value(&mut self, check: &Check<'_>, variable: Variable, entry: Entry) -> bool {
        self.may_match_value(check, entry.value) && self.value_matches(check, variable, entry)
    }

    /// Whether a value may match, as far as the filter says.
    #[inline]
    fn may_match_value(&mut self, check: &Check<'_>, value: ValueId) -> bool {
        let Some(filter) = check.test.filter else {
            return true;
        };
        let (bytes, candidates) = self.values.sum(value, &check.set.filters);
        check.set.filters.passes(filter, candidates, bytes)
    }

    fn value_matches(&mut self, check: &Check<'_>, variable: Variable, entry: Entry) -> bool {
        let bytes = self.values.get(entry.value);
        let hit = check
            .test
            .operator
            .test(bytes, check.argument, check.rule.capture);
        if hit.is_some() == check.test.negated {
            return false;
        }
        let name = (entry.name != NONE).then(|| self.values.get(entry.name).into());
        let matched = Matched {
            variable,
            name,
            value: bytes.into(),
        };
        self.on_match(check, matched, hit);
        true
    }

    /// A value that is not kept.
    fn loose(
        &mut self,
        check: &Check<'_>,
        variable: Variable,
        name: Option<Box<[u8]>>,
        value: &[u8],
    ) -> bool {
        let mut value = value.to_vec();
        let mut matched = false;
        if check.rule.multi_match {
            matched |= self.loose_value(check, variable, &name, &value);
        }
        for step in check.steps() {
            let mut changed = Vec::with_capacity(value.len());
            step.apply(&value, &mut changed);
            let same = changed == value;
            value = changed;
            if check.rule.multi_match && !same {
                matched |= self.loose_value(check, variable, &name, &value);
            }
        }
        if check.rule.multi_match {
            matched
        } else {
            self.loose_value(check, variable, &name, &value)
        }
    }

    fn loose_value(
        &mut self,
        check: &Check<'_>,
        variable: Variable,
        name: &Option<Box<[u8]>>,
        value: &[u8],
    ) -> bool {
        let hit = check
            .test
            .operator
            .test(value, check.argument, check.rule.capture);
        if hit.is_some() == check.test.negated {
            return false;
        }
        self.on_match(
            check,
            Matched {
                variable,
                name: name.clone(),
                value: value.into(),
            },
            hit,
        );
        true
    }

    fn on_match(&mut self, check: &Check<'_>, matched: Matched, hit: Option<Hit>) {
        if let (true, Some(hit)) = (check.rule.capture, hit) {
            self.capture(&matched.value, hit);
        }
        self.matched.push(matched);
        self.effects(check.set, check.rule);
    }

    /// `TX.0` to `TX.9`, which are slots 0 to 9.
    fn capture(&mut self, value: &[u8], hit: Hit) {
        for slot in 0..10u32 {
            let text = match &hit {
                Hit::Whole if slot == 0 => Some(value),
                Hit::Text(text) if slot == 0 => Some(text.as_slice()),
                Hit::Groups(groups) => groups
                    .get(slot as usize)
                    .cloned()
                    .flatten()
                    .and_then(|range| value.get(range)),
                _ => None,
            };
            self.vars
                .set_slot(slot, text.map(|text| TxValue::Text(text.into())));
        }
    }
}

/// What comes of a gate.
enum Passage {
    /// The chain has to be looked at.
    Open,
    /// It does not match.
    Closed,
    /// It matches, and all that it does is to go on there.
    By(Flow),
}

/// A rule at work.
struct Check<'a> {
    set: &'a RuleSet,
    rule: &'a Rule,
    test: &'a Test,
    head: u32,
    argument: &'a [u8],
}

impl<'a> Check<'a> {
    fn pipeline(&self) -> &'a Pipeline {
        &self.set.pipelines[self.rule.pipeline as usize]
    }

    fn steps(&self) -> &'a [Transformation] {
        self.pipeline().steps()
    }
}

/// Where a chain that matched goes on: the last of its rules that says.
pub(super) fn flow(set: &RuleSet, head: u32) -> Flow {
    let mut found = Flow::Next;
    let mut next = Some(head);
    while let Some(index) = next {
        let rule = &set.rules[index as usize];
        if rule.flow != Flow::Next {
            found = rule.flow;
        }
        next = rule.next;
    }
    found
}
