//! Numbers of what rules share: pipelines, units, groups of units, and slots by pattern.

use std::collections::HashMap;
use std::sync::Arc;

use crate::lang::variables::{Target, Variable};
use crate::pattern::Pattern;
use crate::pipeline::Pipeline;
use crate::ruleset::{Member, Names, Rule, Unit, Which};
use crate::transform::Transformation;

/// What was numbered, each once.
#[derive(Default)]
pub(super) struct Numbered {
    pub(super) pipelines: Vec<Pipeline>,
    pub(super) units: Vec<Unit>,
    pub(super) groups: Vec<Vec<u32>>,
    unit_index: HashMap<(Target, u32, bool), u32>,
    group_index: HashMap<Vec<u32>, u32>,
}

impl Numbered {
    pub(super) fn pipeline(&mut self, steps: Vec<Transformation>) -> u32 {
        let mut pipelines = self.pipelines.iter();
        let known = pipelines.position(|pipeline| pipeline.steps() == steps);
        let number = known.unwrap_or_else(|| {
            self.pipelines.push(Pipeline::new(steps));
            self.pipelines.len() - 1
        });
        u32::try_from(number).unwrap_or(u32::MAX)
    }

    /// The unit of a target's members after a pipeline, which counts by each step's result or by the last one's.
    pub(super) fn unit(&mut self, target: Target, member: Member, by: (u32, bool)) -> u32 {
        let none = self.pipeline(Vec::new());
        let base = self.unit_of((target.clone(), none, false), &member, None);
        self.unit_of((target, by.0, by.1), &member, Some(base))
    }

    fn unit_of(&mut self, key: (Target, u32, bool), member: &Member, base: Option<u32>) -> u32 {
        let next = u32::try_from(self.units.len()).unwrap_or(u32::MAX);
        let number = *self.unit_index.entry(key.clone()).or_insert(next);
        if number == next {
            self.units.push(Unit {
                member: member.clone(),
                pipeline: key.1,
                steps: key.2,
                base: base.unwrap_or(next),
            });
        }
        number
    }

    pub(super) fn group(&mut self, mut units: Vec<u32>) -> u32 {
        units.sort_unstable();
        units.dedup();
        let next = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        let number = *self.group_index.entry(units.clone()).or_insert(next);
        if number == next {
            self.groups.push(units);
        }
        number
    }
}

/// Slots that patterns mean, worked out once.
pub(super) fn patterned(rules: &[Rule], names: &Names) -> Vec<(Arc<Pattern>, Vec<u32>)> {
    let targets = rules.iter().flat_map(|rule| &rule.targets);
    let mut found: Vec<(Arc<Pattern>, Vec<u32>)> = Vec::new();
    for target in targets.filter(|target| target.variable == Variable::Tx) {
        let Which::Pattern(pattern) = &target.which else {
            continue;
        };
        if found.iter().any(|(known, _)| Arc::ptr_eq(known, pattern)) {
            continue;
        }
        let slots = (0u32..).zip(&names.list);
        let meant = slots.filter(|(_, name)| pattern.is_match(name));
        found.push((pattern.clone(), meant.map(|(slot, _)| slot).collect()));
    }
    found
}
