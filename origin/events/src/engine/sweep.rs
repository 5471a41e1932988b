//! Enforces retention in the background, in small steps.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::writer::{Call, Swept, Work};

/// How often retention is enforced.
const INTERVAL: Duration = Duration::from_secs(60);
/// The most records one step removes, so that appends do not wait long behind it.
const STEP_RECORDS: u64 = 1000;
/// The most steps of one sweep; what is left is done by the next.
const STEPS_MAX: usize = 1000;

/// Runs until the log is dropped. Holds nothing of the log while it waits, so that dropping the log closes its file.
pub(super) async fn sweep_forever(calls: Option<mpsc::WeakSender<Call>>) {
    let Some(calls) = calls else { return };
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for _ in 0..STEPS_MAX {
            let (reply, answer) = oneshot::channel();
            let work = Work::Sweep {
                records_max: STEP_RECORDS,
                reply,
            };
            let Some(sender) = calls.upgrade() else {
                return;
            };
            // A full queue has better things to do; the next sweep comes soon.
            let queued = sender.try_send(Call {
                work,
                _memory: None,
            });
            drop(sender);
            if queued.is_err() {
                break;
            }
            match answer.await {
                Ok(Ok(Swept { more: true, .. })) => {}
                Ok(Ok(_)) => break,
                Ok(Err(error)) => {
                    tracing::warn!(error = %error, "retention sweep failed");
                    break;
                }
                Err(_) => return,
            }
        }
    }
}
