//! One waiting call for all of a member's partitions that have nothing to do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mcsp_runtime::SharedEntropy;
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::policy::RetryPolicy;
use crate::{BATCH_RECORDS_MAX, EventError, Position, SharedEventLog};

/// How long one call waits; a log that stops has to wait for it.
const WAIT: Duration = Duration::from_secs(4);
/// How long partitions that go idle one after the other are gathered for one call.
const GATHER: Duration = Duration::from_millis(1);
/// Between tries while the log is away.
const AWAY: RetryPolicy = RetryPolicy {
    tries: u32::MAX,
    base_ms: 20,
    max_ms: 2_000,
};

/// The offset that a partition waits for, and how its work is woken.
type Wait = (u64, oneshot::Sender<()>);

/// The partitions that wait for a record.
#[derive(Debug, Default)]
pub(super) struct Idle {
    waiting: Mutex<HashMap<(String, u32), Wait>>,
    changed: Notify,
}

impl Idle {
    /// Returns when there may be a record at `position`.
    pub(super) async fn wait(&self, position: &Position) {
        let (wake, woken) = oneshot::channel();
        let slot = (position.topic.clone(), position.partition);
        self.waiting.lock().insert(slot, (position.offset, wake));
        self.changed.notify_one();
        // An error says that another wait for the partition took this one's place.
        let _ = woken.await;
    }

    /// Forgets a partition that is not the member's any more.
    pub(super) fn forget(&self, slot: &(String, u32)) {
        self.waiting.lock().remove(slot);
    }

    fn positions(&self) -> Vec<Position> {
        let waiting = self.waiting.lock();
        waiting
            .iter()
            .take(BATCH_RECORDS_MAX)
            .map(|((topic, partition), (offset, _))| Position {
                topic: topic.clone(),
                partition: *partition,
                offset: *offset,
            })
            .collect()
    }

    fn wake(&self, positions: &[Position]) {
        let mut waiting = self.waiting.lock();
        for position in positions {
            if let Some((_, wake)) = waiting.remove(&(position.topic.clone(), position.partition)) {
                // Whoever waited may have been dropped meanwhile.
                let _ = wake.send(());
            }
        }
    }

    /// Asks the log for all that wait; runs until it is dropped.
    pub(super) async fn poll_forever(self: Arc<Self>, log: SharedEventLog, entropy: SharedEntropy) {
        let mut failures = 0;
        loop {
            let positions = self.positions();
            if positions.is_empty() {
                self.changed.notified().await;
                continue;
            }
            let asked = tokio::select! {
                asked = log.ready(&positions, WAIT) => asked,
                // One more waits: ask again for all. Others often follow at once.
                () = self.changed.notified() => {
                    tokio::time::sleep(GATHER).await;
                    continue;
                }
            };
            match asked {
                Ok(ready) => {
                    failures = 0;
                    self.wake(&ready);
                }
                Err(EventError::Unavailable(_)) => {
                    failures += 1;
                    tokio::time::sleep(AWAY.delay(failures, &*entropy)).await;
                }
                // One of them is at fault; each finds out by itself.
                Err(_) => self.wake(&positions),
            }
        }
    }
}
