//! One timer for a connection's whole life. A deadline that is met in time costs nothing: the timer is not touched when
//! deadlines move later, only asked again when it goes off too early.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep};

#[derive(Debug)]
pub(crate) struct Alarm {
    timer: Pin<Box<Sleep>>,
    /// When the timer goes off, and whom it wakes, once it has been asked.
    armed: Option<(Instant, Waker)>,
}

impl Alarm {
    /// Not armed before somebody waits; `first` is when it is expected to be needed.
    pub(crate) fn new(first: Duration) -> Self {
        Self {
            timer: Box::pin(tokio::time::sleep(first)),
            armed: None,
        }
    }

    /// Ready when `deadline` has passed. `now` is given by who has read the clock in this very poll, and only then: what has
    /// gone off since wakes the task once more.
    pub(crate) fn poll_passed(
        &mut self,
        context: &mut Context<'_>,
        deadline: Instant,
        now: Option<Instant>,
    ) -> Poll<()> {
        // A timer that is sure to wake this task in time is left alone: of many connections, most of its memory is no longer in
        // the core's caches.
        if let (Some((at, waker)), Some(now)) = (&self.armed, now)
            && now < *at
            && *at <= deadline
            && waker.will_wake(context.waker())
        {
            return Poll::Pending;
        }
        self.armed = None;
        if deadline < self.timer.deadline() {
            self.timer.as_mut().reset(deadline);
        }
        loop {
            // A timer that is asked by a task whose turn is over does not note whom to wake, and what is not noted must not count
            // as armed.
            let mut asked = unconstrained(self.timer.as_mut());
            if Pin::new(&mut asked).poll(context).is_pending() {
                self.armed = Some((self.timer.deadline(), context.waker().clone()));
                return Poll::Pending;
            }
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::stop::testing::use_up_turn;

    const SECOND: Duration = Duration::from_secs(1);

    /// Waits as a connection does: the clock is read before the first poll only.
    async fn waited(alarm: &mut Alarm, wait: Duration) -> Duration {
        let began = Instant::now();
        let mut now = Some(began);
        poll_fn(|context| alarm.poll_passed(context, began + wait, now.take())).await;
        began.elapsed()
    }

    /// A wait that ends before its deadline.
    async fn given_up(alarm: &mut Alarm, wait: Duration, after: Duration) {
        let waiting = tokio::time::timeout(after, waited(alarm, wait));
        assert!(waiting.await.is_err());
    }

    fn is_about(waited: Duration, wanted: Duration) -> bool {
        (wanted..wanted + Duration::from_millis(5)).contains(&waited)
    }

    #[tokio::test(start_paused = true)]
    async fn deadlines_that_move_later_are_kept_without_touching_the_timer() {
        let mut alarm = Alarm::new(10 * SECOND);
        for _ in 0..3 {
            given_up(&mut alarm, 10 * SECOND, 4 * SECOND).await;
        }
        // By now it has gone off once, and was set anew.
        let waited = waited(&mut alarm, 10 * SECOND).await;
        assert!(is_about(waited, 10 * SECOND), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_deadline_is_kept_too() {
        let mut alarm = Alarm::new(10 * SECOND);
        given_up(&mut alarm, 10 * SECOND, SECOND).await;
        let short = waited(&mut alarm, 2 * SECOND).await;
        assert!(is_about(short, 2 * SECOND), "{short:?}");
        let long = waited(&mut alarm, 10 * SECOND).await;
        assert!(is_about(long, 10 * SECOND), "{long:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_went_off_between_two_waits_is_set_anew() {
        let mut alarm = Alarm::new(SECOND);
        given_up(&mut alarm, SECOND, SECOND / 2).await;
        tokio::time::sleep(5 * SECOND).await;
        let waited = waited(&mut alarm, SECOND).await;
        assert!(is_about(waited, SECOND), "{waited:?}");
    }

    /// Such as after many requests that came at once.
    #[tokio::test(start_paused = true)]
    async fn one_that_was_asked_at_the_end_of_its_tasks_turn_goes_off_all_the_same() {
        let mut alarm = Alarm::new(SECOND);
        let now = Instant::now();
        poll_fn(|context| {
            use_up_turn(context);
            assert!(
                alarm
                    .poll_passed(context, now + SECOND, Some(now))
                    .is_pending()
            );
            Poll::Ready(())
        })
        .await;
        tokio::task::yield_now().await;
        let waiting = tokio::time::timeout(60 * SECOND, waited(&mut alarm, SECOND));
        let waited = waiting.await.unwrap();
        assert!(is_about(waited, SECOND), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn another_task_that_waits_is_the_one_that_is_woken() {
        let mut alarm = Alarm::new(2 * SECOND);
        given_up(&mut alarm, 2 * SECOND, SECOND / 2).await;
        let elsewhere = tokio::spawn(async move { waited(&mut alarm, 3 * SECOND).await });
        let waited = elsewhere.await.unwrap();
        assert!(is_about(waited, 3 * SECOND), "{waited:?}");
    }
}
