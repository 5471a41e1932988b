//! One limit: governor over our own store.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::clock::Clock as _;
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::{NotUntil, Quota, RateLimiter};
use prometheus::IntCounter;

use crate::class::{Class, RuleId, Scope};
use crate::clock::{FromZero, SteadyClock};
use crate::key::Key;
use crate::standing::{Refusal, Standing};
use crate::table::{Cell, Store, Table, TableView};

/// How many bursts other nodes' words may put somebody into debt: with fewer, as many nodes at their limit would each go on
/// at the full rate. See [`crate::Exchange`].
const DEBT_BURSTS_MAX: u64 = 16;
/// A key that owes less than this part of a burst is not worth telling other nodes of.
const TELL_FROM: u64 = 8;

/// One limit.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: RuleId,
    class: Class,
    scope: Scope,
    limiter: RateLimiter<Key, Store, FromZero, StateInformationMiddleware>,
    store: Store,
    clock: Arc<SteadyClock>,
    quota: u32,
    window_s: u32,
    period_ns: u64,
    debt_max_ns: u64,
    refused: IntCounter,
}

/// What a rule is made of.
pub(crate) struct RuleParts<'a> {
    pub(crate) class: Class,
    pub(crate) scope: Scope,
    pub(crate) quota: Quota,
    /// Absent where there is one key only.
    pub(crate) table: Option<&'a Arc<Table>>,
    /// There, what the rule before it counted by.
    pub(crate) cell: Option<Arc<Cell>>,
    pub(crate) clock: &'a Arc<SteadyClock>,
    pub(crate) refused: IntCounter,
}

impl Rule {
    pub(crate) fn new(parts: RuleParts<'_>) -> Self {
        let period_ns = u64::try_from(parts.quota.replenish_interval().as_nanos());
        let period_ns = period_ns.unwrap_or(u64::MAX).max(1);
        let quota = parts.quota.burst_size();
        let burst_ns = period_ns.saturating_mul(u64::from(quota.get()));
        let store = match parts.table {
            Some(table) => Store::Keyed(TableView {
                table: Arc::clone(table),
                tell_from_ns: burst_ns / TELL_FROM,
            }),
            None => Store::One(parts.cell.unwrap_or_default()),
        };
        let clock = FromZero::new(parts.clock);
        Self {
            id: RuleId::new(parts.class, parts.scope),
            class: parts.class,
            scope: parts.scope,
            limiter: RateLimiter::new(parts.quota, store.clone(), clock),
            store,
            clock: Arc::clone(parts.clock),
            quota: quota.get(),
            window_s: ceil_s(burst_ns),
            period_ns,
            debt_max_ns: burst_ns.saturating_mul(DEBT_BURSTS_MAX),
            refused: parts.refused,
        }
    }

    /// What it counts by, where there is one key only.
    pub(crate) fn cell(&self) -> Option<Arc<Cell>> {
        match &self.store {
            Store::One(cell) => Some(Arc::clone(cell)),
            Store::Keyed(_) => None,
        }
    }

    /// Takes one request, or says why not.
    pub(crate) fn check(&self, key: Key) -> Result<StateSnapshot, Refusal> {
        self.limiter.check_key(&key).map_err(|refused| {
            self.refused.inc();
            Refusal {
                standing: self.spent(&refused),
            }
        })
    }

    /// Is nothing left, without taking anything?
    pub(crate) fn is_spent(&self, key: Key) -> bool {
        let Store::Keyed(view) = &self.store else {
            return false;
        };
        let tolerance_ns = self.period_ns.saturating_mul(u64::from(self.quota - 1));
        let spent_from_ns = self.clock.last_ns().saturating_add(tolerance_ns);
        let whole_at_ns = view.table.get(key);
        whole_at_ns.is_some_and(|whole_at_ns| whole_at_ns > spent_from_ns)
    }

    /// How the client stands after it was let in.
    pub(crate) fn standing(&self, after: &StateSnapshot) -> Standing {
        let remaining = after.remaining_burst_capacity().min(self.quota);
        let taken = u64::from(self.quota - remaining);
        self.of(remaining, ceil_s(taken.saturating_mul(self.period_ns)))
    }

    fn spent(&self, refused: &NotUntil<governor::nanos::Nanos>) -> Standing {
        let now = self.limiter.clock().now();
        let wait = refused.wait_time_from(now);
        self.of(
            0,
            ceil_s(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    fn of(&self, remaining: u32, reset_s: u32) -> Standing {
        Standing {
            class: self.class,
            scope: self.scope,
            quota: self.quota,
            window_s: self.window_s,
            remaining,
            reset_s,
        }
    }

    /// Takes what was admitted elsewhere.
    pub(crate) fn debit(&self, key: Key, cells: NonZeroU32) {
        self.take(key, cells, self.debt_max_ns);
    }

    /// Takes what is owed for another reason than a request: as far as there is something, and never into debt.
    pub(crate) fn charge(&self, key: Key, cells: NonZeroU32) {
        self.take(
            key,
            cells,
            self.period_ns.saturating_mul(u64::from(self.quota)),
        );
    }

    fn take(&self, key: Key, cells: NonZeroU32, debt_max_ns: u64) {
        let (cells, period_ns) = (cells.get(), self.period_ns);
        // Nobody may have asked for a while.
        self.clock.now_ms();
        match &self.store {
            Store::Keyed(view) => view.table.debit(key, cells, period_ns, debt_max_ns),
            Store::One(cell) => {
                cell.debit(self.clock.last_ns(), cells, period_ns, debt_max_ns);
            }
        }
    }

    /// What was admitted by a rule with one key since this was asked last.
    pub(crate) fn take_untold(&self) -> Option<(Key, NonZeroU32)> {
        let Store::One(cell) = &self.store else {
            return None;
        };
        let cells = NonZeroU32::new(cell.take_untold())?;
        Some((Key::of_pop(self.id), cells))
    }
}

fn ceil_s(ns: u64) -> u32 {
    let seconds = ns.div_ceil(1_000_000_000).max(1);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}
