//! Time spent, as an input.

use std::fmt::Debug;
use std::time::Instant;

/// A clock that only goes forward.
pub trait Ticks: Send + Sync + Debug {
    /// Microseconds since some fixed moment.
    fn now_us(&self) -> u64;
}

/// The machine's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct MonotonicTicks {
    start: Instant,
}

impl Default for MonotonicTicks {
    fn default() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Ticks for MonotonicTicks {
    fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}
