//! What is decided of a request, or an answer, for which the time was not enough.

use super::Transaction;
use super::run::flow;
use crate::lang::ast::EngineMode;
use crate::ruleset::RuleSet;

impl Transaction {
    /// Runs what is left of the rules that decide by what was found, as far as that came: whoever has brought enough to be refused
    /// must not get through by bringing more than there is time for. Of a head this is also what comes with its body.
    pub(super) fn close(&mut self, set: &RuleSet, phase: u8, from: usize) {
        self.close_phase(set, phase, from);
        if matches!(phase, 1 | 3) {
            self.close_phase(set, phase + 1, 0);
        }
    }

    fn close_phase(&mut self, set: &RuleSet, phase: u8, from: usize) {
        let Some(heads) = set.phases.get(usize::from(phase)) else {
            return;
        };
        let mut at = from;
        while let Some(&head) = heads.get(at)
            && !self.is_blocked()
            && phase > self.allowed_through
            && self.engine != EngineMode::Off
        {
            at += 1;
            let decides = set.closing.contains(head) && !self.removed.contains(head);
            if !decides || !self.chain(set, head) {
                continue;
            }
            self.conclude(set, head, phase);
            at = flow(set, head).from(at);
        }
    }
}
