//! How fast an attack goes: as fast as it says, and no faster where the machine could.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Shared by all attackers of a kind.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    per_s: u32,
    taken: AtomicU64,
}

impl Pace {
    pub(super) fn new(per_s: u32) -> Self {
        Self {
            began: Instant::now(),
            // Of nobody.
            per_s: per_s.max(1),
            taken: AtomicU64::new(0),
        }
    }

    /// Waits until so many more may go out.
    pub(super) async fn turn(&self, count: u32) {
        let before = self.taken.fetch_add(u64::from(count), Ordering::Relaxed);
        let due = Duration::from_secs_f64(before as f64 / f64::from(self.per_s));
        tokio::time::sleep_until(self.began + due).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_than_the_rate_goes_out() {
        let pace = Pace::new(1_000);
        for _ in 0..10 {
            pace.turn(10).await;
        }
        // The tenth begins when ninety have gone.
        assert!(pace.began.elapsed() >= Duration::from_millis(90));
    }
}
