//! How many requests an upstream is asked at once, and how many may wait for their turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A bound on requests in flight, and on those that wait.
#[derive(Debug)]
pub(crate) struct Gate {
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
}

/// A turn; given back when dropped.
pub(crate) type Turn = OwnedSemaphorePermit;

impl Gate {
    pub(crate) fn new(in_flight_max: usize, waiting_max: usize) -> Arc<Self> {
        Arc::new(Self {
            turns: Arc::new(Semaphore::new(
                in_flight_max.clamp(1, Semaphore::MAX_PERMITS),
            )),
            waiting: AtomicUsize::new(0),
            waiting_max,
        })
    }

    /// A turn, in the order of asking; `None` when too many wait, or none came in time.
    pub(crate) async fn turn(&self, patience: Duration) -> Option<Turn> {
        if let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() {
            return Some(turn);
        }
        let _waiting = Waiting::begin(self)?;
        let turn = Arc::clone(&self.turns).acquire_owned();
        tokio::time::timeout(patience, turn).await.ok()?.ok()
    }
}

/// Counted until dropped, also when the one who waits goes away.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(gate: &'a Gate) -> Option<Self> {
        let counted = Self(&gate.waiting);
        let before = gate.waiting.fetch_add(1, Ordering::Relaxed);
        (before < gate.waiting_max).then_some(counted)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_and_waits_are_bounded() {
        let gate = Gate::new(1, 1);
        let patience = Duration::from_secs(30);
        let turn = gate.turn(patience).await.unwrap();
        let waits = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.turn(patience).await.is_some() }
        });
        while gate.waiting.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(gate.turn(patience).await.is_none(), "one waits already");
        drop(turn);
        assert!(waits.await.unwrap());
        assert_eq!(gate.waiting.load(Ordering::Relaxed), 0);
        let _turn = gate.turn(patience).await.unwrap();
        assert!(gate.turn(Duration::ZERO).await.is_none(), "no turn in time");
    }
}
