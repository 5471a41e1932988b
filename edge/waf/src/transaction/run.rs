//! The rules of a phase, one after another.

use super::dynamic::selects;
use super::store::Entry;
use super::values::{NONE, ValueId};
use super::vars::TxValue;
use super::{Matched, Transaction, is_stored};
use crate::bytemap::ByteSet;
use crate::filter::FilterId;
use crate::lang::ast::EngineMode;
use crate::lang::variables::Variable;
use crate::operator::{Hit, Operator, leading_number};
use crate::pattern::take_gave_up;
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
        self.units.reset(set.units.len(), set.filters.words());
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
            if let Some((filter, units)) = set.gates.get(phase, at - 1)
                && !self.any_passes(&set, units, filter)
            {
                self.note(head, Some(head));
                continue;
            }
            let matched = self.chain(&set, head);
            if take_gave_up() {
                self.leave_unfinished(&set, head);
            }
            if !matched {
                continue;
            }
            self.conclude(&set, head, phase);
            match flow(&set, head) {
                Flow::Next => {}
                Flow::Skip(count) => at += count as usize,
                Flow::To(position) => at = at.max(position as usize),
            }
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
            if index != head {
                std::mem::swap(&mut self.matched, &mut self.matched_before);
                self.matched.clear();
            }
            if !self.rule(set, rule, head) {
                self.note(head, Some(index));
                return false;
            }
            next = rule.next;
        }
        self.note(head, None);
        true
    }

    pub(super) fn rule(&mut self, set: &RuleSet, rule: &Rule, head: u32) -> bool {
        let Some(test) = &rule.test else {
            self.effects(set, rule);
            return true;
        };
        if let Some(filter) = test.filter
            && !test.units.is_empty()
            && !self.any_passes(set, &test.units, filter)
        {
            return false;
        }
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

    /// Whether any value of some units may match.
    fn any_passes(&mut self, set: &RuleSet, units: &[u32], filter: FilterId) -> bool {
        let mut units = units.iter();
        units.any(|unit| self.unit_passes(set, *unit, filter))
    }

    /// Whether any value of a unit may match.
    #[inline]
    fn unit_passes(&mut self, set: &RuleSet, unit: u32, filter: FilterId) -> bool {
        let words = set.filters.words();
        let at = unit as usize;
        if self.units.begin(at, words) {
            self.fill_unit(set, at);
        }
        set.filters.passes(
            filter,
            &self.units.candidates[at * words..(at + 1) * words],
            &self.units.bytes[at],
        )
    }

    fn fill_unit(&mut self, set: &RuleSet, at: usize) {
        let unit = &set.units[at];
        let steps = set.pipelines[unit.pipeline as usize].as_slice();
        for index in 0..self.store.list(unit.member.variable).len() {
            let entry = self.store.list(unit.member.variable)[index];
            if !self.is_member(&unit.member.which, entry) {
                continue;
            }
            let mut value = entry.value;
            if unit.steps {
                for step in steps {
                    self.add_to_unit(set, at, value);
                    value = self.values.transform(value, *step);
                }
            } else {
                value = self.values.pipeline(value, steps);
            }
            self.add_to_unit(set, at, value);
        }
    }

    fn add_to_unit(&mut self, set: &RuleSet, at: usize, value: ValueId) {
        let words = set.filters.words();
        self.units.bytes[at].extend(self.values.set(value));
        let candidates = self.values.candidates(value, &set.filters);
        for (mine, theirs) in self.units.candidates[at * words..(at + 1) * words]
            .iter_mut()
            .zip(candidates)
        {
            *mine |= theirs;
        }
    }

    fn is_member(&self, which: &Which, entry: Entry) -> bool {
        matches!(which, Which::All) || selects(which, self.values.get(entry.name))
    }

    fn is_excluded(&self, check: &Check<'_>, variable: Variable, name: &[u8]) -> bool {
        let covers = |member: &Member| member.variable == variable && selects(&member.which, name);
        check.rule.exclusions.iter().any(covers)
            || self.removals.iter().any(|removal| {
                removal.rules.contains(check.head) && removal.members.iter().any(covers)
            })
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
        }
        let text = count.to_string();
        self.loose(check, target.variable, None, text.as_bytes())
    }

    fn stored_target(&mut self, check: &Check<'_>, target: &Member) -> bool {
        let mut matched = false;
        let mut count = 0;
        for index in 0..self.store.list(target.variable).len() {
            let entry = self.store.list(target.variable)[index];
            if !self.is_member(&target.which, entry)
                || self.is_excluded(check, target.variable, self.values.get(entry.name))
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

    fn stored(&mut self, check: &Check<'_>, variable: Variable, entry: Entry) -> bool {
        let steps = check.steps();
        if !check.rule.multi_match {
            let value = self.values.pipeline(entry.value, steps);
            return self.stored_value(check, variable, entry.name, value);
        }
        let mut matched = self.stored_value(check, variable, entry.name, entry.value);
        let mut value = entry.value;
        for step in steps {
            let changed = self.values.transform(value, *step);
            if changed != value {
                value = changed;
                matched |= self.stored_value(check, variable, entry.name, value);
            }
        }
        matched
    }

    fn stored_value(
        &mut self,
        check: &Check<'_>,
        variable: Variable,
        name: ValueId,
        value: ValueId,
    ) -> bool {
        if let Some(filter) = check.test.filter {
            let bytes: ByteSet = *self.values.set(value);
            let candidates = self.values.candidates(value, &check.set.filters);
            if !check.set.filters.passes(filter, candidates, &bytes) {
                return false;
            }
        }
        let bytes = self.values.get(value);
        let hit = check
            .test
            .operator
            .test(bytes, check.argument, check.rule.capture);
        if hit.is_some() == check.test.negated {
            return false;
        }
        let name = (name != NONE).then(|| self.values.get(name).into());
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

/// A rule at work.
struct Check<'a> {
    set: &'a RuleSet,
    rule: &'a Rule,
    test: &'a Test,
    head: u32,
    argument: &'a [u8],
}

impl<'a> Check<'a> {
    fn steps(&self) -> &'a [Transformation] {
        &self.set.pipelines[self.rule.pipeline as usize]
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

impl super::Units {
    /// Forgets what was known.
    fn reset(&mut self, units: usize, words: usize) {
        self.round += 1;
        self.known.resize(units, 0);
        self.bytes.resize(units, ByteSet::EMPTY);
        self.candidates.resize(units * words, 0);
    }

    /// Empties a unit that was not asked for in this round; true if it was not.
    fn begin(&mut self, at: usize, words: usize) -> bool {
        if self.known[at] == self.round {
            return false;
        }
        self.known[at] = self.round;
        self.bytes[at] = ByteSet::EMPTY;
        self.candidates[at * words..(at + 1) * words].fill(0);
        true
    }
}
