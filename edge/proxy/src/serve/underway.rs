//! How many fetches of a kind are under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A count of what is under way. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Underway(Arc<AtomicUsize>);

/// One of those that are counted, until it is dropped.
#[derive(Debug)]
pub(crate) struct UnderwayGuard(Arc<AtomicUsize>);

impl Underway {
    /// Counts one more.
    pub(crate) fn enter(&self) -> UnderwayGuard {
        self.0.fetch_add(1, Ordering::Relaxed);
        UnderwayGuard(Arc::clone(&self.0))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for UnderwayGuard {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
