//! The node's wish to end.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::sync::watch;
use tokio::task::unconstrained;

/// Asks a `watch` without taking its lock: what registers for a wake-up is polled once for each task, what is asked at
/// every request is one atomic load.
pub struct Stop {
    receiver: watch::Receiver<bool>,
    is_stopped: bool,
    wake_up: Option<WakeUp>,
}

/// What wakes a task when the node is to end.
struct WakeUp {
    /// Registered with the channel for as long as it lives; its result is asked of the channel itself.
    _waiting: Waiting,
    waker: Waker,
}

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Stop {
    /// A look at `receiver`, which shows true once the node is to end.
    #[must_use]
    pub fn new(receiver: watch::Receiver<bool>) -> Self {
        let is_stopped = *receiver.borrow();
        Self {
            receiver,
            is_stopped,
            wake_up: None,
        }
    }

    /// Whether the node has been told to end. A sender that is gone has said its last word.
    pub fn is_stopped(&mut self) -> bool {
        if !self.is_stopped && self.receiver.has_changed().unwrap_or(true) {
            self.is_stopped = *self.receiver.borrow_and_update();
            self.wake_up = None;
        }
        self.is_stopped
    }

    /// Ready once the node has been told to end.
    pub fn poll_stopped(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_stopped() {
            return Poll::Ready(());
        }
        let is_armed = self
            .wake_up
            .as_ref()
            .is_some_and(|wake_up| wake_up.waker.will_wake(context.waker()));
        if is_armed {
            return Poll::Pending;
        }
        let mut receiver = self.receiver.clone();
        // Asked by a task whose turn is over, a channel does not note whom to wake; and it is asked this once.
        let mut waiting: Waiting = Box::pin(unconstrained(async move {
            // Gone with its sender, it wakes nobody: nobody is left to ask for an end.
            if receiver.wait_for(|stop| *stop).await.is_err() {
                std::future::pending::<()>().await;
            }
        }));
        let poll = waiting.as_mut().poll(context);
        if poll.is_ready() {
            self.is_stopped = true;
        }
        self.wake_up = Some(WakeUp {
            _waiting: waiting,
            waker: context.waker().clone(),
        });
        poll
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Leaves nothing of what a task may do in one turn.
    pub(crate) fn use_up_turn(context: &mut Context<'_>) {
        while std::pin::pin!(tokio::task::consume_budget())
            .poll(context)
            .is_ready()
        {}
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::time::{Instant, sleep, timeout};

    use super::testing::use_up_turn;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Such as after many requests that came at once.
    #[tokio::test(start_paused = true)]
    async fn who_asked_at_the_end_of_a_turn_is_told_all_the_same() {
        let (stop, stopped) = watch::channel(false);
        let mut asked = Stop::new(stopped);
        poll_fn(|context| {
            use_up_turn(context);
            assert!(asked.poll_stopped(context).is_pending());
            Poll::Ready(())
        })
        .await;
        tokio::task::yield_now().await;
        let since = Instant::now();
        let told = tokio::spawn(async move {
            sleep(SECOND).await;
            stop.send_replace(true);
            stop
        });
        let hears = poll_fn(|context| asked.poll_stopped(context));
        timeout(60 * SECOND, hears).await.unwrap();
        assert_eq!(since.elapsed(), SECOND, "found out by chance");
        told.await.unwrap();
    }
}
