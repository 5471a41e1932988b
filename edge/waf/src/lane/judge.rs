//! One request's values against the lane's chains, as the engine would look at them.

use super::{Chain, INSPECTED, Kinds, Link, Look, SCRATCH_BYTES_MAX};
use crate::operator::{Hit, Operator, leading_number};
use crate::ruleset::{Rule, RuleSet, Test, TextPiece, Which};
use crate::transaction::values::{ValueId, Values};

/// Captures of one match.
const CAPTURES: usize = 10;

/// What a match captured, by group.
pub(super) type Captures = [Option<Vec<u8>>; CAPTURES];

/// A value, and what the pipeline that was last asked for makes of it.
pub(super) struct Form {
    value: ValueId,
    pipeline: Option<u32>,
    made: ValueId,
}

impl Form {
    pub(super) const fn of(value: ValueId) -> Self {
        Self {
            value,
            pipeline: None,
            made: value,
        }
    }

    fn by(&mut self, set: &RuleSet, values: &mut Values, pipeline: u32) -> ValueId {
        if self.pipeline != Some(pipeline) {
            self.made = values.pipeline(self.value, pipeline, &set.pipelines[pipeline as usize]);
            self.pipeline = Some(pipeline);
        }
        self.made
    }
}

pub(super) struct Request<'a> {
    pub(super) set: &'a RuleSet,
    pub(super) values: [Option<&'a [u8]>; INSPECTED.len()],
}

impl Request<'_> {
    fn rule(&self, link: &Link) -> Option<(&Rule, &Test)> {
        let rule = &self.set.rules[link.rule as usize];
        rule.test.as_ref().map(|test| (rule, test))
    }

    /// Whether a first link may match by what is there or not.
    pub(super) fn presence_matches(&self, chain: &Chain) -> bool {
        let Some(Link {
            look: Look::Inspects {
                counts, argument, ..
            },
            ..
        }) = chain.links.first()
        else {
            return true;
        };
        self.counts_match(&chain.links[0], *counts, argument)
    }

    fn counts_match(&self, link: &Link, counts: Kinds, argument: &[u8]) -> bool {
        let Some((rule, test)) = self.rule(link) else {
            return true;
        };
        if !self.set.pipelines[rule.pipeline as usize]
            .steps()
            .is_empty()
        {
            return !counts.is_empty();
        }
        INSPECTED
            .into_iter()
            .filter(|kind| counts.contains(*kind))
            .any(|kind| {
                let count = usize::from(self.values[kind as usize].is_some()).to_string();
                test.operator
                    .test(count.as_bytes(), argument, false)
                    .is_some()
                    != test.negated
            })
    }

    /// What a chain's first link captures of a value, if it matches.
    pub(super) fn first_link(
        &self,
        chain: &Chain,
        values: &mut Values,
        form: &mut Form,
    ) -> Option<Captures> {
        let link = chain.links.first()?;
        let Look::Inspects { argument, .. } = &link.look else {
            return Some(Captures::default());
        };
        let (rule, test) = self.rule(link)?;
        if rule.multi_match {
            return self.value_matches(rule, test, argument, values, form.value);
        }
        let id = form.by(self.set, values, rule.pipeline);
        self.tested(rule, test, argument, values, id)
    }

    /// As the engine looks at a stored value.
    fn value_matches(
        &self,
        rule: &Rule,
        test: &Test,
        argument: &[u8],
        values: &mut Values,
        id: ValueId,
    ) -> Option<Captures> {
        let pipeline = &self.set.pipelines[rule.pipeline as usize];
        if !rule.multi_match {
            let id = values.pipeline(id, rule.pipeline, pipeline);
            return self.tested(rule, test, argument, values, id);
        }
        let mut found = self.tested(rule, test, argument, values, id);
        let mut id = id;
        for step in pipeline.steps() {
            let changed = values.transform(id, *step);
            if changed != id {
                id = changed;
                found = self.tested(rule, test, argument, values, id).or(found);
            }
        }
        found
    }

    fn tested(
        &self,
        rule: &Rule,
        test: &Test,
        argument: &[u8],
        values: &mut Values,
        id: ValueId,
    ) -> Option<Captures> {
        let filters = &self.set.filters;
        if let Some(filter) = test.filter {
            let (bytes, candidates) = values.sum(id, filters);
            if !filters.passes(filter, candidates, bytes) {
                return None;
            }
        }
        let value = values.get(id);
        let hit = test.operator.test(value, argument, rule.capture);
        if hit.is_some() == test.negated {
            return None;
        }
        Some(captures(value, hit.filter(|_| rule.capture)))
    }

    /// Whether all of a chain may match once its first link has.
    pub(super) fn rest_matches(&self, chain: &Chain, mut captured: Captures) -> bool {
        let Some((first, rest)) = chain.links.split_first() else {
            return true;
        };
        if !first.is_quiet && !rest.is_empty() {
            return true;
        }
        for (place, link) in rest.iter().enumerate() {
            let is_last = place + 1 == rest.len();
            let Some((rule, test)) = self.rule(link) else {
                return true;
            };
            let matched = match &link.look {
                Look::Unknown => Some(Captures::default()),
                Look::Captured => self.captured(rule, test, &captured),
                Look::Inspects {
                    values,
                    counts,
                    argument,
                } => {
                    if self.counts_match(link, *counts, argument) {
                        return true;
                    }
                    self.any_value(rule, test, *values, argument)
                }
            };
            let Some(now) = matched else {
                return false;
            };
            if !link.is_quiet && !is_last || matches!(link.look, Look::Unknown) {
                return true;
            }
            if rule.capture {
                captured = now;
            }
        }
        true
    }

    fn any_value(
        &self,
        rule: &Rule,
        test: &Test,
        kinds: Kinds,
        argument: &[u8],
    ) -> Option<Captures> {
        let mut values = Values::default();
        values.reset(self.set, SCRATCH_BYTES_MAX);
        let present = INSPECTED
            .into_iter()
            .filter(|kind| kinds.contains(*kind))
            .filter_map(|kind| self.values[kind as usize]);
        let mut found = None;
        for value in present {
            let id = values.push(value);
            found = self
                .value_matches(rule, test, argument, &mut values, id)
                .or(found);
        }
        // What was cut was not looked at.
        if found.is_none() && values.is_full() {
            found = Some(Captures::default());
        }
        found
    }

    /// A rule over captures alone.
    fn captured(&self, rule: &Rule, test: &Test, captured: &Captures) -> Option<Captures> {
        let of = |slot: u32| captured.get(slot as usize).and_then(|text| text.as_deref());
        let mut argument = Vec::new();
        for piece in &test.argument.0 {
            match piece {
                TextPiece::Plain(text) => argument.extend_from_slice(text),
                TextPiece::Slot(slot) => argument.extend_from_slice(of(*slot).unwrap_or_default()),
                TextPiece::Value(..) => return Some(Captures::default()),
            }
        }
        let mut found = None;
        for target in &rule.targets {
            let Which::Slot(slot) = target.which else {
                return Some(Captures::default());
            };
            let Some(value) = of(slot) else { continue };
            let mut value = value.to_vec();
            for step in self.set.pipelines[rule.pipeline as usize].steps() {
                let mut changed = Vec::new();
                step.apply(&value, &mut changed);
                value = changed;
            }
            let hit = match &test.operator {
                Operator::Compare(comparison) => comparison
                    .holds(leading_number(&value), leading_number(&argument))
                    .then_some(Hit::Whole),
                operator => operator.test(&value, &argument, rule.capture),
            };
            if hit.is_some() != test.negated {
                found = Some(captures(&value, hit.filter(|_| rule.capture)));
            }
        }
        found
    }
}

fn captures(value: &[u8], hit: Option<Hit>) -> Captures {
    let mut captured = Captures::default();
    match hit {
        None => {}
        Some(Hit::Whole) => captured[0] = Some(value.to_vec()),
        Some(Hit::Text(text)) => captured[0] = Some(text),
        Some(Hit::Groups(groups)) => {
            for (place, group) in captured.iter_mut().zip(groups) {
                *place = group.and_then(|range| value.get(range)).map(<[u8]>::to_vec);
            }
        }
    }
    captured
}
