//! What of each rule says that it need not be looked at, close together.
//!
//! Most rules of a phase are passed over: no value has what they look for, or a number of the transaction's own is not what they ask
//! for. A rule is large and lies anywhere in memory: to fetch hundreds of them for that takes longer than to see it.

use crate::filter::FilterId;
use crate::operator::{Comparison, Operator, leading_number};
use crate::pipeline::Pipeline;
use crate::ruleset::{Disruptive, Flow, Rule, Text, TextPiece, Which};
use crate::transaction::vars::{TxValue, Vars};

/// The gates of all chains' first rules, by phase and in its order.
#[derive(Debug, Default)]
pub(crate) struct Gates {
    phases: [Vec<Gate>; 6],
}

/// What may say beforehand whether a chain's first rule matches.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gate {
    /// Nothing does.
    Open,
    /// It does not, if no value of a group has the filter's bytes and literals.
    Filter { filter: FilterId, group: u32 },
    /// It does if this holds.
    Number { test: NumberTest, does: Does },
}

/// What a rule does that matches.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Does {
    /// Something.
    More,
    /// Nothing but to say where the phase goes on.
    GoesOn(Flow),
}

/// A comparison of a transaction variable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NumberTest {
    slot: u32,
    /// Of whether there is one, and not of its number.
    count: bool,
    comparison: Comparison,
    negated: bool,
    with: Operand,
}

#[derive(Debug, Clone, Copy)]
enum Operand {
    Number(i64),
    Slot(u32),
}

impl NumberTest {
    /// Of a rule that is that and nothing else.
    fn of(rule: &Rule, pipelines: &[Pipeline]) -> Option<Self> {
        let test = rule.test.as_ref()?;
        let Operator::Compare(comparison) = test.operator else {
            return None;
        };
        let [target] = rule.targets.as_slice() else {
            return None;
        };
        let Which::Slot(slot) = target.which else {
            return None;
        };
        let has_steps = pipelines
            .get(rule.pipeline as usize)
            .is_none_or(|pipeline| !pipeline.steps().is_empty());
        if has_steps {
            return None;
        }
        Some(Self {
            slot,
            count: target.count,
            comparison,
            negated: test.negated,
            with: Operand::of(&test.argument)?,
        })
    }

    #[inline]
    pub(crate) fn holds(&self, vars: &Vars) -> bool {
        let number = match (self.count, vars.slot(self.slot)) {
            (true, value) => i64::from(value.is_some()),
            (false, Some(value)) => value.number(),
            // What is not there is not compared.
            (false, None) => return false,
        };
        let with = match self.with {
            Operand::Number(number) => number,
            Operand::Slot(slot) => vars.slot(slot).map_or(0, TxValue::number),
        };
        self.comparison.holds(number, with) != self.negated
    }
}

impl Operand {
    fn of(text: &Text) -> Option<Self> {
        if let Some(fixed) = text.fixed() {
            return Some(Self::Number(leading_number(fixed)));
        }
        match text.0.as_slice() {
            [TextPiece::Slot(slot)] => Some(Self::Slot(*slot)),
            _ => None,
        }
    }
}

impl Does {
    fn of(rule: &Rule) -> Self {
        let is_seen = rule.log
            || rule.capture
            || rule.next.is_some()
            || rule.severity.is_some()
            || !rule.effects.is_empty()
            || rule.disruptive != Disruptive::Pass;
        match is_seen {
            true => Self::More,
            false => Self::GoesOn(rule.flow),
        }
    }
}

impl Gate {
    fn of(rule: &Rule, pipelines: &[Pipeline]) -> Self {
        let test = rule.test.as_ref();
        if let Some((filter, group)) = test.and_then(|test| Some((test.filter?, test.group?))) {
            return Self::Filter { filter, group };
        }
        match NumberTest::of(rule, pipelines) {
            Some(test) => Self::Number {
                test,
                does: Does::of(rule),
            },
            None => Self::Open,
        }
    }
}

impl Gates {
    /// Of the rules that begin the chains of each phase.
    pub(crate) fn new(phases: &[Vec<u32>; 6], rules: &[Rule], pipelines: &[Pipeline]) -> Self {
        let of = |head: &u32| {
            let rule = rules.get(*head as usize);
            rule.map_or(Gate::Open, |rule| Gate::of(rule, pipelines))
        };
        Self {
            phases: phases
                .each_ref()
                .map(|heads| heads.iter().map(of).collect()),
        }
    }

    /// The gate of the head at a position of a phase.
    #[inline]
    pub(crate) fn get(&self, phase: u8, position: usize) -> &Gate {
        let gates = self.phases.get(usize::from(phase));
        gates
            .and_then(|gates| gates.get(position))
            .unwrap_or(&Gate::Open)
    }
}
