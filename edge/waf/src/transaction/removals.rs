//! Targets that rules are not to look at in this transaction.

use std::sync::Arc;

use super::dynamic::selects;
use crate::lang::variables::Variable;
use crate::ruleset::{Member, TargetRemoval};

/// Most sets of removed targets in one transaction.
const REMOVALS_MAX: usize = 1000;

/// What was removed, by the policy and by rules that ran.
#[derive(Debug, Default)]
pub(super) struct Removals {
    list: Vec<Arc<TargetRemoval>>,
    /// By variable, a bit: whether anything of it was removed from any rule. Most rules look at none of those.
    variables: [u64; Variable::COUNT.div_ceil(64)],
}

impl Removals {
    pub(super) fn of(list: &[Arc<TargetRemoval>]) -> Self {
        let mut removals = Self::default();
        list.iter().for_each(|removal| removals.add(removal));
        removals
    }

    /// Adds a set that is not there yet.
    pub(super) fn add(&mut self, removal: &Arc<TargetRemoval>) {
        let is_known = |known: &Arc<TargetRemoval>| Arc::ptr_eq(known, removal);
        if self.list.len() >= REMOVALS_MAX || self.list.iter().any(is_known) {
            return;
        }
        for member in &removal.members {
            let variable = member.variable as usize;
            self.variables[variable / 64] |= 1 << (variable % 64);
        }
        self.list.push(removal.clone());
    }

    /// Whether anything of a variable was removed.
    #[inline]
    pub(super) fn concern(&self, variable: Variable) -> bool {
        let variable = variable as usize;
        self.variables[variable / 64] & (1 << (variable % 64)) != 0
    }

    /// Whether a variable's member was removed from a rule, by its chain's head.
    pub(super) fn cover(&self, head: u32, variable: Variable, name: &[u8]) -> bool {
        let covers = |member: &Member| member.variable == variable && selects(&member.which, name);
        self.concern(variable)
            && self
                .list
                .iter()
                .any(|removal| removal.rules.contains(head) && removal.members.iter().any(covers))
    }
}
