//! How fast a client takes what it asked for.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::limits::Limits;

/// Weighs, window by window, what a client took against the time it made the server wait. Time in which the server had
/// nothing to send does not count.
#[derive(Debug)]
pub(crate) struct Pace {
    window: Duration,
    window_bytes_min: u64,
    waiting_since: Option<Instant>,
    waited: Duration,
    taken: u64,
}

impl Pace {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            window: Duration::from_millis(limits.write_timeout_ms),
            window_bytes_min: (u64::from(limits.drain_bytes_s_min) * limits.write_timeout_ms
                / 1000)
                .max(1),
            waiting_since: None,
            waited: Duration::ZERO,
            taken: 0,
        }
    }

    /// The client took `bytes`.
    pub(crate) fn took(&mut self, bytes: usize) {
        self.taken += bytes as u64;
        self.stop();
    }

    /// Nothing is being waited for any more.
    pub(crate) fn stop(&mut self) {
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
    }

    /// The client takes nothing at the moment; ready when it has been too slow.
    pub(crate) fn poll_too_slow(
        &mut self,
        alarm: &mut Alarm,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            let since = *self.waiting_since.get_or_insert_with(Instant::now);
            let deadline = since + self.window.saturating_sub(self.waited);
            ready!(alarm.poll_passed(context, deadline, None));
            if self.taken < self.window_bytes_min {
                return Poll::Ready(());
            }
            self.waiting_since = None;
            self.waited = Duration::ZERO;
            self.taken = 0;
        }
    }
}
