//! The circuit breaker: a callee that keeps failing is left alone for a while.

use std::sync::Arc;

use mcsp_runtime::SharedClock;
use parking_lot::Mutex;

use crate::RpcPolicy;

/// What a channel's breaker does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Lets them through.
    Closed,
    /// Refuses them.
    Open,
    /// Lets one through, to see.
    HalfOpen,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until_ms: i64,
    },
    /// `trying`: the one call is under way.
    HalfOpen {
        trying: bool,
    },
}

/// Counts failures in a row. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Breaker {
    /// Who is called, for logs.
    callee: Arc<str>,
    state: Arc<Mutex<State>>,
    clock: SharedClock,
    failures_max: u32,
    open_ms: i64,
}

/// Leave to make one call. Dropped without a word, as when the caller went away, it says nothing about the callee.
#[derive(Debug)]
pub(crate) struct Leave {
    breaker: Option<Breaker>,
}

impl Breaker {
    pub(crate) fn new(callee: Arc<str>, policy: &RpcPolicy, clock: SharedClock) -> Self {
        Self {
            callee,
            state: Arc::new(Mutex::new(State::Closed { failures: 0 })),
            clock,
            failures_max: policy.breaker_failures.max(1),
            open_ms: i64::try_from(policy.breaker_open_ms).unwrap_or(i64::MAX),
        }
    }

    /// Leave to make a call; `None` while the circuit is open.
    pub(crate) fn admit(&self) -> Option<Leave> {
        let mut state = self.state.lock();
        match *state {
            State::Closed { .. } => {}
            State::Open { until_ms } if self.clock.now_ms() < until_ms => return None,
            State::HalfOpen { trying: true } => return None,
            State::Open { .. } | State::HalfOpen { trying: false } => {
                *state = State::HalfOpen { trying: true }
            }
        }
        Some(Leave {
            breaker: Some(self.clone()),
        })
    }

    pub(crate) fn state(&self) -> BreakerState {
        match *self.state.lock() {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { until_ms } if self.clock.now_ms() < until_ms => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn open(&self) -> State {
        let (callee, open_ms) = (&*self.callee, self.open_ms);
        tracing::warn!(callee, open_ms, "circuit open: the callee is left alone");
        State::Open {
            until_ms: self.clock.now_ms().saturating_add(self.open_ms),
        }
    }

    fn failed(&self) {
        let mut state = self.state.lock();
        *state = match *state {
            State::Closed { failures } if failures + 1 < self.failures_max => State::Closed {
                failures: failures + 1,
            },
            State::Closed { .. } | State::HalfOpen { .. } => self.open(),
            // A call from before the circuit opened does not keep it open for longer.
            open @ State::Open { .. } => open,
        };
    }

    fn succeeded(&self) {
        let mut state = self.state.lock();
        match *state {
            State::Open { .. } => return,
            State::HalfOpen { .. } => {
                tracing::info!(callee = &*self.callee, "circuit closed: the callee is back");
            }
            State::Closed { .. } => {}
        }
        *state = State::Closed { failures: 0 };
    }

    fn unknown(&self) {
        let mut state = self.state.lock();
        if let State::HalfOpen { trying } = &mut *state {
            *trying = false;
        }
    }
}

impl Leave {
    pub(crate) fn failed(mut self) {
        if let Some(breaker) = self.breaker.take() {
            breaker.failed();
        }
    }

    pub(crate) fn succeeded(mut self) {
        if let Some(breaker) = self.breaker.take() {
            breaker.succeeded();
        }
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        if let Some(breaker) = self.breaker.take() {
            breaker.unknown();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mcsp_runtime::ManualClock;

    use super::*;

    fn breaker(failures: u32) -> (Breaker, Arc<ManualClock>) {
        let clock = ManualClock::new(1_000);
        let policy = RpcPolicy {
            breaker_failures: failures,
            breaker_open_ms: 500,
            ..RpcPolicy::default()
        };
        (Breaker::new("test".into(), &policy, clock.clone()), clock)
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_between_does_not() {
        let (breaker, _clock) = breaker(3);
        for outcome in [false, false, true, false, false] {
            let leave = breaker.admit().expect("closed");
            if outcome {
                leave.succeeded();
            } else {
                leave.failed();
            }
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        breaker.admit().expect("closed").failed();
        assert_eq!(breaker.state(), BreakerState::Open);
        assert!(breaker.admit().is_none());
    }

    #[test]
    fn after_its_time_one_call_tries() {
        let (breaker, clock) = breaker(1);
        breaker.admit().expect("closed").failed();
        clock.advance(Duration::from_millis(499));
        assert!(breaker.admit().is_none());
        clock.advance(Duration::from_millis(1));
        let trying = breaker.admit().expect("half open");
        assert!(breaker.admit().is_none(), "one at a time");
        trying.failed();
        assert_eq!(breaker.state(), BreakerState::Open);
        clock.advance(Duration::from_millis(500));
        breaker.admit().expect("half open").succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_caller_that_went_away_leaves_the_try_to_the_next() {
        let (breaker, clock) = breaker(1);
        breaker.admit().expect("closed").failed();
        clock.advance(Duration::from_millis(500));
        drop(breaker.admit().expect("half open"));
        breaker.admit().expect("still half open").succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn what_began_before_it_opened_changes_nothing() {
        let (breaker, clock) = breaker(1);
        let (early, late) = (
            breaker.admit().expect("closed"),
            breaker.admit().expect("closed"),
        );
        breaker.admit().expect("closed").failed();
        clock.advance(Duration::from_millis(300));
        early.failed();
        late.succeeded();
        assert_eq!(breaker.state(), BreakerState::Open);
        clock.advance(Duration::from_millis(200));
        assert!(breaker.admit().is_some());
    }
}
