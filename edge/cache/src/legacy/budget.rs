//! The bytes that fills in flight may take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A bounded sum.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    used: AtomicU64,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicU64::new(0),
        })
    }

    /// Bytes taken.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Would `bytes` more fit now?
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.used().saturating_add(bytes) <= self.limit
    }

    fn take(&self, bytes: u64) -> bool {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.limit)
            })
            .is_ok()
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// One fill's share; given back when the fill's last reader has gone.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<Budget>,
    bytes: AtomicU64,
}

impl Reservation {
    /// A share of `bytes`, or nothing if they do not fit.
    pub(crate) fn new(budget: &Arc<Budget>, bytes: u64) -> Option<Self> {
        budget.take(bytes).then(|| Self {
            budget: Arc::clone(budget),
            bytes: AtomicU64::new(bytes),
        })
    }

    /// Makes the share at least `bytes`; false if that does not fit. One writer calls this.
    pub(crate) fn grow_to(&self, bytes: u64) -> bool {
        let held = self.bytes.load(Ordering::Relaxed);
        let more = bytes.saturating_sub(held);
        if more == 0 {
            return true;
        }
        let taken = self.budget.take(more);
        if taken {
            self.bytes.store(held + more, Ordering::Relaxed);
        }
        taken
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_never_passes_the_limit_and_comes_back() {
        let budget = Budget::new(100);
        let first = Reservation::new(&budget, 60).expect("it fits");
        assert!(Reservation::new(&budget, 41).is_none());
        assert!(first.grow_to(100));
        assert!(!first.grow_to(101));
        assert!(!budget.has_room(1));
        drop(first);
        assert_eq!(budget.used(), 0);
    }
}
