//! A breaker: after many failures in a while nobody tries any more, until one does and succeeds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::limits::LimitError;

/// When inspection is given up for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerConfig {
    /// Failures within the window that open the breaker. Default 20; 1 to 10000.
    pub failures_max: u32,
    /// The window, milliseconds. Default 10000; 100 to 600000.
    pub window_ms: u64,
    /// How long nobody tries, milliseconds; then one request does at a time. Default 5000; 100 to 600000.
    pub open_ms: u64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures_max: 20,
            window_ms: 10_000,
            open_ms: 5_000,
        }
    }
}

impl BreakerConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// The first key outside its range.
    pub fn validate(&self) -> Result<(), LimitError> {
        let table = [
            (
                "breaker.failures_max",
                u64::from(self.failures_max),
                1,
                10_000,
            ),
            ("breaker.window_ms", self.window_ms, 100, 600_000),
            ("breaker.open_ms", self.open_ms, 100, 600_000),
        ];
        LimitError::first_outside(&table)
    }
}

/// What a breaker does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Everybody tries.
    Closed,
    /// Nobody tries, or one at a time.
    Open,
}

#[derive(Debug)]
struct Counted {
    window_began_us: u64,
    failures: u32,
    /// Nobody tries before; `None`: closed.
    open_until_us: Option<u64>,
    is_probing: bool,
}

/// A breaker. Times are its caller's, microseconds since some fixed moment.
#[derive(Debug)]
pub(super) struct Breaker {
    config: BreakerConfig,
    /// Whether the lock needs to be taken to know whether one may try.
    is_open: AtomicBool,
    counted: Mutex<Counted>,
}

/// Who may try.
#[derive(Debug)]
pub(super) enum Admission {
    Yes,
    /// The one whose success closes the breaker.
    Probe(Probe),
    No,
}

impl Breaker {
    pub(super) fn new(config: BreakerConfig) -> Arc<Self> {
        Arc::new(Self {
            config,
            is_open: AtomicBool::new(false),
            counted: Mutex::new(Counted {
                window_began_us: 0,
                failures: 0,
                open_until_us: None,
                is_probing: false,
            }),
        })
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.is_open.load(Ordering::Acquire) {
            true => BreakerState::Open,
            false => BreakerState::Closed,
        }
    }

    pub(super) fn admit(self: &Arc<Self>, now_us: u64) -> Admission {
        if !self.is_open.load(Ordering::Acquire) {
            return Admission::Yes;
        }
        let mut counted = self.counted.lock();
        match counted.open_until_us {
            None => Admission::Yes,
            Some(until) if now_us < until || counted.is_probing => Admission::No,
            Some(_) => {
                counted.is_probing = true;
                Admission::Probe(Probe {
                    breaker: self.clone(),
                    is_settled: false,
                })
            }
        }
    }

    /// Counts a failure; true if the breaker opened by it.
    pub(super) fn failed(&self, now_us: u64) -> bool {
        let mut counted = self.counted.lock();
        if now_us.saturating_sub(counted.window_began_us) >= self.config.window_ms * 1000 {
            counted.window_began_us = now_us;
            counted.failures = 0;
        }
        counted.failures = counted.failures.saturating_add(1);
        if counted.open_until_us.is_some() || counted.failures < self.config.failures_max {
            return false;
        }
        counted.open_until_us = Some(now_us + self.config.open_ms * 1000);
        self.is_open.store(true, Ordering::Release);
        true
    }

    /// Everybody may try again.
    pub(super) fn close(&self) {
        let mut counted = self.counted.lock();
        counted.open_until_us = None;
        counted.failures = 0;
        counted.is_probing = false;
        self.is_open.store(false, Ordering::Release);
    }
}

/// The right to try while the breaker is open. One that is dropped without a result leaves the next to try.
#[derive(Debug)]
pub(super) struct Probe {
    breaker: Arc<Breaker>,
    is_settled: bool,
}

impl Probe {
    pub(super) fn succeeded(mut self) {
        self.is_settled = true;
        self.breaker.close();
    }

    pub(super) fn failed(mut self, now_us: u64) {
        self.is_settled = true;
        let mut counted = self.breaker.counted.lock();
        counted.is_probing = false;
        counted.open_until_us = Some(now_us + self.breaker.config.open_ms * 1000);
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if !self.is_settled {
            self.breaker.counted.lock().is_probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: BreakerConfig = BreakerConfig {
        failures_max: 3,
        window_ms: 100,
        open_ms: 200,
    };

    fn probe(breaker: &Arc<Breaker>, now_us: u64) -> Option<Probe> {
        match breaker.admit(now_us) {
            Admission::Probe(probe) => Some(probe),
            Admission::Yes | Admission::No => None,
        }
    }

    #[test]
    fn failures_far_apart_open_nothing() {
        let breaker = Breaker::new(CONFIG);
        assert!((0..20).all(|nth| !breaker.failed(nth * 60_000)));
        assert!(matches!(breaker.admit(0), Admission::Yes));
    }

    #[test]
    fn it_opens_tries_one_at_a_time_and_closes_by_a_success() {
        let breaker = Breaker::new(CONFIG);
        assert_eq!(
            [1000, 2000, 3000].map(|now| breaker.failed(now)),
            [false, false, true]
        );
        assert!(!breaker.failed(3001), "it is open already");
        assert!(matches!(breaker.admit(202_999), Admission::No));
        let first = probe(&breaker, 203_000).expect("a try");
        assert!(matches!(breaker.admit(203_000), Admission::No));
        first.failed(204_000);
        assert!(matches!(breaker.admit(403_999), Admission::No));
        drop(probe(&breaker, 404_000).expect("another try"));
        probe(&breaker, 404_000)
            .expect("the next may try when one gave up")
            .succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert!(matches!(breaker.admit(404_001), Admission::Yes));
        assert!(!breaker.failed(404_002), "it counts from the beginning");
    }

    #[test]
    fn ranges_are_kept() {
        assert_eq!(BreakerConfig::default().validate(), Ok(()));
        let error = BreakerConfig {
            open_ms: 1,
            ..CONFIG
        }
        .validate()
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "breaker.open_ms = 1: expected 100 to 600000"
        );
    }
}
