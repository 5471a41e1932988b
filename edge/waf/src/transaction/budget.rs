//! What the rules of a transaction have cost, and whether that is too much.
//!
//! A budget of time by the clock would be overrun by whoever shares a core with others. The budget is of processor time, which is
//! dear to ask for; on one thread it never runs faster than the clock, so that it is asked for when a phase begins, and then
//! only once the clock says that the budget may be spent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Transaction;
use crate::lang::ast::EngineMode;

/// A phase that took no longer by the clock counts with that, rather than with what it cost by another look at the other.
const CLOSE_ENOUGH_US: u64 = 1_000;

/// Microseconds. A phase runs on one thread from its beginning to its end; the next may run on another.
#[derive(Debug, Default)]
pub(super) struct Spent {
    /// By phases that are over.
    total_us: u64,
    /// When this phase began, by the clock and by the thread's own.
    began_us: u64,
    effort_began_us: u64,
}

impl Transaction {
    /// Processor time that rules have taken, microseconds.
    #[must_use]
    pub fn spent_us(&self) -> u64 {
        self.spent.total_us
    }

    /// What rules were given to look at so far, bytes of head, body and answer.
    #[must_use]
    pub fn given_bytes(&self) -> usize {
        self.given
    }

    /// From now on rules end early once this is set, since nobody waits for what comes of them.
    pub(crate) fn heed(&mut self, left: Option<Arc<AtomicBool>>) {
        self.left = left;
    }

    /// Whether they did.
    pub(crate) fn has_ended_early(&self) -> bool {
        self.ended_early
    }

    pub(super) fn begin_spending(&mut self) {
        self.spent.began_us = self.environment.ticks.now_us();
        self.spent.effort_began_us = self.environment.effort.now_us();
    }

    /// Looks at the budget, and whether anybody waits; keeps what comes of it.
    pub(super) fn is_over_budget(&mut self) -> bool {
        let left = self.left.as_ref();
        if left.is_some_and(|left| left.load(Ordering::Relaxed)) {
            self.ended_early = true;
            self.engine = EngineMode::Off;
            return true;
        }
        let spent_us = self.spent.total_us;
        self.overrun |= self.values.is_full()
            || spent_us.saturating_add(self.passed_us()) > self.budget_us()
                && spent_us.saturating_add(self.effort_us()) > self.budget_us();
        self.overrun
    }

    pub(super) fn end_spending(&mut self) {
        self.is_over_budget();
        let passed_us = self.passed_us();
        self.spent.total_us += match passed_us {
            0..=CLOSE_ENOUGH_US => passed_us,
            _ => self.effort_us(),
        };
    }

    /// Of this phase, by the clock.
    fn passed_us(&self) -> u64 {
        let now_us = self.environment.ticks.now_us();
        now_us.saturating_sub(self.spent.began_us)
    }

    /// Of this phase, by the thread's own clock.
    fn effort_us(&self) -> u64 {
        let now_us = self.environment.effort.now_us();
        now_us.saturating_sub(self.spent.effort_began_us)
    }

    fn budget_us(&self) -> u64 {
        let limits = &self.environment.limits;
        let kib = (self.given / 1024) as u64;
        limits
            .budget_us
            .saturating_add(limits.budget_us_per_kib.saturating_mul(kib))
    }
}
