//! The run's time.

use std::time::Duration;

use tokio::time::Instant;

/// µs since the run's start. It is the runtime's clock, so tests can pause it.
#[derive(Debug, Clone, Copy)]
pub struct RunClock {
    start: Instant,
}

impl RunClock {
    /// A run that starts then.
    #[must_use]
    pub fn starting_at(start: Instant) -> Self {
        Self { start }
    }

    /// A run that starts now.
    #[must_use]
    pub fn starting_now() -> Self {
        Self::starting_at(Instant::now())
    }

    /// µs since the start; 0 before it.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        let elapsed = Instant::now().saturating_duration_since(self.start);
        u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX)
    }

    /// The instant of a moment of the run; moments more than a year away are taken for a year away.
    #[must_use]
    pub fn instant(&self, at_us: u64) -> Instant {
        const YEAR_US: u64 = 366 * 86_400 * 1_000_000;
        self.start + Duration::from_micros(at_us.min(YEAR_US))
    }

    /// Waits until then; not at all when it is over.
    pub async fn until(&self, at_us: u64) {
        tokio::time::sleep_until(self.instant(at_us)).await;
    }
}
