//! The run's time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::timer::Timer;

/// µs since the run's start. It is the runtime's clock, so tests can pause it.
#[derive(Debug, Clone)]
pub struct RunClock {
    start: Instant,
    /// What waits go by; none: the runtime's own timers.
    timer: Option<Arc<Timer>>,
}

impl RunClock {
    /// A run that starts then.
    #[must_use]
    pub fn starting_at(start: Instant) -> Self {
        Self { start, timer: None }
    }

    /// The same, whose waits end within microseconds, and not milliseconds, of their time: by a timer that the caller runs.
    #[must_use]
    pub fn by(mut self, timer: Arc<Timer>) -> Self {
        self.timer = Some(timer);
        self
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
        let end = self.instant(at_us);
        match &self.timer {
            Some(timer) => timer.until(end).await,
            None => tokio::time::sleep_until(end).await,
        }
    }
}
