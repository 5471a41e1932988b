//! Writes entries of the state again before the log forgets them, so that the state can always be read from the topic.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::entry::RETENTION;
use crate::feed::WeakFeed;

const INTERVAL: Duration = Duration::from_secs(3600);
/// How many entries are written again at once, and how often in a row.
const STEP_ENTRIES_MAX: usize = 100;
const STEPS_MAX: usize = 10_000;

/// Runs until the feed is gone.
pub(crate) async fn refresh_forever(feed: WeakFeed) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let half_ms = i64::try_from(RETENTION.as_millis() / 2).unwrap_or(i64::MAX);
    loop {
        ticks.tick().await;
        for _ in 0..STEPS_MAX {
            let Some(feed) = feed.upgrade() else { return };
            let before_ms = feed.now_ms().saturating_sub(half_ms);
            match feed.rewrite_older_than(before_ms, STEP_ENTRIES_MAX).await {
                Ok(STEP_ENTRIES_MAX) => {}
                Ok(_) => break,
                Err(error) => {
                    tracing::warn!(error = %error, "the feed's state was not written again; the next hour will");
                    break;
                }
            }
        }
    }
}
