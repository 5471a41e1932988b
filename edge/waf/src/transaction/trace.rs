//! What each chain came to, for those who study a rule set by a request.

use super::Transaction;
use crate::ruleset::{Rule, RuleSet, Text};

/// A chain that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Its first rule.
    pub(crate) head: u32,
    /// The rule that did not match, if one did not.
    pub(crate) failed: Option<u32>,
}

impl Transaction {
    /// Notes from now on what chains come to.
    pub(crate) fn trace(&mut self) {
        self.trace = Some(Vec::new());
    }

    /// The chains that were tried, in order.
    pub(crate) fn traced(&self) -> &[Step] {
        self.trace.as_deref().unwrap_or_default()
    }

    pub(super) fn note(&mut self, head: u32, failed: Option<u32>) {
        if let Some(trace) = &mut self.trace {
            trace.push(Step { head, failed });
        }
    }

    /// Whether a rule would match now. If so, it has done what it does.
    pub(crate) fn tries(&mut self, set: &RuleSet, rule: u32, head: u32) -> bool {
        set.rules
            .get(rule as usize)
            .is_some_and(|rule| self.rule(set, rule, head))
    }

    /// An operator's argument as it would be resolved now.
    pub(crate) fn argument_of(&self, set: &RuleSet, rule: &Rule, argument: &Text) -> Vec<u8> {
        self.resolve(set, rule, argument).into_owned()
    }
}
