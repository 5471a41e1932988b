//! How fast a client takes an answer.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::Limits;

/// Weighs, window by window, what a client took against the time it made the server wait. Time in which the server had
/// nothing to send does not count.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    window: Duration,
    drain_bytes_s_min: u32,
    waited: Duration,
    taken: u64,
}

impl Pace {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            window: limits.write_timeout,
            drain_bytes_s_min: limits.drain_bytes_s_min,
            waited: Duration::ZERO,
            taken: 0,
        }
    }

    /// How long a client may take nothing.
    pub(crate) const fn window(&self) -> Duration {
        self.window
    }

    pub(crate) const fn set_window(&mut self, window: Duration) {
        self.window = window;
    }

    /// There was room for `bytes`.
    pub(crate) const fn took(&mut self, bytes: usize) {
        self.taken += bytes as u64;
    }

    /// What `work` comes to, which waits for the client; nothing when that is too slow.
    pub(crate) async fn wait<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        loop {
            let since = Instant::now();
            let left = self.window.saturating_sub(self.waited);
            if let Ok(done) = tokio::time::timeout(left, work.as_mut()).await {
                self.waited += since.elapsed();
                return Some(done);
            }
            if self.taken < self.window_bytes_min() {
                return None;
            }
            self.waited = Duration::ZERO;
            self.taken = 0;
        }
    }

    fn window_bytes_min(&self) -> u64 {
        let bytes = u128::from(self.drain_bytes_s_min) * self.window.as_millis() / 1000;
        u64::try_from(bytes).unwrap_or(u64::MAX).max(1)
    }
}
