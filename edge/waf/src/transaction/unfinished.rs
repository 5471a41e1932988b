//! Rules that gave up on a value: their pattern took all the steps that it may.
//!
//! Such a value counts as one that does not match, and whoever wrote it may have meant it to. As in ModSecurity a flag says so,
//! `TX:MSC_PCRE_LIMITS_EXCEEDED`, by which a rule may refuse the request (200005 of its recommended configuration does).

use super::Transaction;
use super::vars::TxValue;
use crate::ruleset::RuleSet;

/// The flag, in lower case as all names of variables are.
const FLAG: &[u8] = b"msc_pcre_limits_exceeded";
/// Most rules that are kept of one transaction.
const RULES_MAX: usize = 32;

/// The rules, each once.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    rules: Vec<u64>,
    /// How many of them somebody has been told of.
    told: usize,
}

impl Transaction {
    pub(super) fn leave_unfinished(&mut self, set: &RuleSet, head: u32) {
        self.vars.set(&set.names, FLAG, Some(TxValue::Number(1)));
        let rules = &mut self.unfinished.rules;
        let id = set.rules[head as usize].id;
        if rules.len() < RULES_MAX && !rules.contains(&id) {
            rules.push(id);
        }
    }

    /// The ids of rules that gave up on a value, each once, at most 32.
    #[must_use]
    pub fn unfinished(&self) -> &[u64] {
        &self.unfinished.rules
    }

    /// Of them, one that was not asked for before.
    pub(crate) fn next_unfinished(&mut self) -> Option<u64> {
        let rule = self.unfinished.rules.get(self.unfinished.told).copied()?;
        self.unfinished.told += 1;
        Some(rule)
    }
}
