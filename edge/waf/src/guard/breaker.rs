//! A breaker: after many failures in a while nobody tries any more, until one does and succeeds.
//!
//! It is for an engine that is broken or late for everybody. One client can have its own requests fail, as often as it likes; if
//! that opened the breaker, it would have switched the firewall off for all others. So of one client only a few failures count,
//! and failures must be a large part of what is inspected at all; and who has failed is not the one who tries.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::limits::LimitError;

/// When inspection is given up for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerConfig {
    /// Failures within the window that open the breaker. Default 20; 1 to 10000.
    pub failures_max: u32,
    /// Of them, those that count of one client: an IPv4 network of 24 bits, an IPv6 network of 48. Where all clients have one
    /// address, such as that of a load balancer that does not tell theirs, as many as `failures_max`. Default 2; 1 to 10000.
    pub client_failures_max: u32,
    /// The part of all requests inspected in the window that fail, per cent; with less, the breaker stays closed. Default 25; 0 to
    /// 100.
    pub failures_percent: u32,
    /// The window, milliseconds. Default 10000; 100 to 600000.
    pub window_ms: u64,
    /// How long nobody tries, milliseconds; then one request does at a time, and the next after as long again. Default 5000; 100 to
    /// 600000.
    pub open_ms: u64,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures_max: 20,
            client_failures_max: 2,
            failures_percent: 25,
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
            (
                "breaker.client_failures_max",
                u64::from(self.client_failures_max),
                1,
                10_000,
            ),
            (
                "breaker.failures_percent",
                u64::from(self.failures_percent),
                0,
                100,
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

/// Clients whose failures are told apart in one window; those of more count as they come.
const CLIENTS_MAX: usize = 256;

/// A client, as far as failures are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Suspect(u64);

impl Suspect {
    fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => u64::from(u32::from(address) >> 8),
            // No IPv4 network has such a number.
            IpAddr::V6(address) => (u128::from(address) >> 80) as u64 | 1 << 63,
        })
    }
}

#[derive(Debug)]
struct Counted {
    window_began_us: u64,
    /// Those that count.
    failures: u32,
    /// All.
    failed: u32,
    suspects: Vec<(Suspect, u32)>,
    /// Nobody tries before; `None`: closed.
    open_until_us: Option<u64>,
    /// The try that is under way: its number, and when the next may begin all the same. Whoever tries may take as long as he likes
    /// over his request.
    probing: Option<(u64, u64)>,
    probes: u64,
}

impl Counted {
    fn has_failed(&self, client: Option<IpAddr>) -> bool {
        let suspect = client.map(Suspect::of);
        suspect.is_some_and(|suspect| self.suspects.iter().any(|(known, _)| *known == suspect))
    }

    /// Counts a failure, as one of a client's few or of nobody's.
    fn count(&mut self, client: Option<IpAddr>, client_max: u32) {
        self.failed = self.failed.saturating_add(1);
        if let Some(suspect) = client.map(Suspect::of) {
            let mut known = self.suspects.iter_mut();
            if let Some((_, failures)) = known.find(|(known, _)| *known == suspect) {
                *failures = failures.saturating_add(1);
                if *failures > client_max {
                    return;
                }
            } else if self.suspects.len() < CLIENTS_MAX {
                self.suspects.push((suspect, 1));
            }
        }
        self.failures = self.failures.saturating_add(1);
    }

    fn is_probing(&self, now_us: u64) -> bool {
        self.probing.is_some_and(|(_, until_us)| now_us < until_us)
    }

    fn probe_is_over(&mut self, number: u64) {
        self.probing = self.probing.filter(|(current, _)| *current != number);
    }

    fn begin(&mut self, now_us: u64) {
        self.window_began_us = now_us;
        self.failures = 0;
        self.failed = 0;
        self.suspects.clear();
    }
}

/// A breaker. Times are its caller's, microseconds since some fixed moment.
#[derive(Debug)]
pub(super) struct Breaker {
    config: BreakerConfig,
    /// Whether the lock needs to be taken to know whether one may try.
    is_open: AtomicBool,
    /// Inspections that began in the window.
    tried: AtomicU32,
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
            tried: AtomicU32::new(0),
            counted: Mutex::new(Counted {
                window_began_us: 0,
                failures: 0,
                failed: 0,
                suspects: Vec::new(),
                open_until_us: None,
                probing: None,
                probes: 0,
            }),
        })
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.is_open.load(Ordering::Acquire) {
            true => BreakerState::Open,
            false => BreakerState::Closed,
        }
    }

    /// Whether a request of `client` is inspected.
    pub(super) fn admit(self: &Arc<Self>, now_us: u64, client: Option<IpAddr>) -> Admission {
        if !self.is_open.load(Ordering::Acquire) {
            self.tried.fetch_add(1, Ordering::Relaxed);
            return Admission::Yes;
        }
        let mut counted = self.counted.lock();
        match counted.open_until_us {
            None => Admission::Yes,
            Some(until) if now_us < until || counted.is_probing(now_us) => Admission::No,
            Some(until) => {
                // Whoever made it fail would make it fail again, unless there is nobody else.
                let are_told_apart = self.config.client_failures_max < self.config.failures_max;
                let patience_us = self.config.open_ms * 1000;
                if are_told_apart && counted.has_failed(client) && now_us < until + patience_us {
                    return Admission::No;
                }
                counted.probes += 1;
                let number = counted.probes;
                counted.probing = Some((number, now_us + patience_us));
                Admission::Probe(Probe {
                    breaker: self.clone(),
                    number,
                    is_settled: false,
                })
            }
        }
    }

    /// Counts a failure of a request of `client`, or of nobody's fault; true if the breaker opened by it.
    pub(super) fn failed(&self, now_us: u64, client: Option<IpAddr>) -> bool {
        let mut counted = self.counted.lock();
        if now_us.saturating_sub(counted.window_began_us) >= self.config.window_ms * 1000 {
            counted.begin(now_us);
            // Of those, this one.
            self.tried.store(1, Ordering::Relaxed);
        }
        counted.count(client, self.config.client_failures_max);
        let tried = u64::from(self.tried.load(Ordering::Relaxed));
        let is_large_part =
            u64::from(counted.failed) * 100 >= tried * u64::from(self.config.failures_percent);
        if counted.open_until_us.is_some()
            || counted.failures < self.config.failures_max
            || !is_large_part
        {
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
        let began_us = counted.window_began_us;
        counted.begin(began_us);
        self.tried.store(0, Ordering::Relaxed);
        counted.probing = None;
        self.is_open.store(false, Ordering::Release);
    }
}

/// The right to try while the breaker is open. One that is dropped without a result leaves the next to try, as does one that has
/// none after `open_ms`.
#[derive(Debug)]
pub(super) struct Probe {
    breaker: Arc<Breaker>,
    number: u64,
    is_settled: bool,
}

impl Probe {
    /// True if the breaker closed by it.
    pub(super) fn succeeded(mut self) -> bool {
        self.is_settled = true;
        let is_open = self.breaker.state() == BreakerState::Open;
        if is_open {
            self.breaker.close();
        }
        is_open
    }

    pub(super) fn failed(mut self, now_us: u64, client: Option<IpAddr>) {
        self.is_settled = true;
        let mut counted = self.breaker.counted.lock();
        counted.probe_is_over(self.number);
        counted.count(client, self.breaker.config.client_failures_max);
        // Another may have succeeded meanwhile.
        if counted.open_until_us.is_some() {
            counted.open_until_us = Some(now_us + self.breaker.config.open_ms * 1000);
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if !self.is_settled {
            self.breaker.counted.lock().probe_is_over(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: BreakerConfig = BreakerConfig {
        failures_max: 3,
        client_failures_max: 1,
        failures_percent: 50,
        window_ms: 100,
        open_ms: 200,
    };

    fn from(client: &str) -> Option<IpAddr> {
        Some(client.parse().unwrap())
    }

    fn probe(breaker: &Arc<Breaker>, now_us: u64) -> Option<Probe> {
        match breaker.admit(now_us, None) {
            Admission::Probe(probe) => Some(probe),
            Admission::Yes | Admission::No => None,
        }
    }

    #[test]
    fn failures_far_apart_open_nothing() {
        let breaker = Breaker::new(CONFIG);
        assert!((0..20).all(|nth| !breaker.failed(nth * 60_000, None)));
        assert!(matches!(breaker.admit(0, None), Admission::Yes));
    }

    #[test]
    fn it_opens_tries_one_at_a_time_and_closes_by_a_success() {
        let breaker = Breaker::new(CONFIG);
        assert_eq!(
            [1000, 2000, 3000].map(|now| breaker.failed(now, None)),
            [false, false, true]
        );
        assert!(!breaker.failed(3001, None), "it is open already");
        assert!(matches!(breaker.admit(202_999, None), Admission::No));
        let first = probe(&breaker, 203_000).expect("a try");
        assert!(matches!(breaker.admit(203_000, None), Admission::No));
        first.failed(204_000, None);
        assert!(matches!(breaker.admit(403_999, None), Admission::No));
        drop(probe(&breaker, 404_000).expect("another try"));
        probe(&breaker, 404_000)
            .expect("the next may try when one gave up")
            .succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert!(matches!(breaker.admit(404_001, None), Admission::Yes));
        assert!(
            !breaker.failed(404_002, None),
            "it counts from the beginning"
        );
    }

    /// Whoever tries may be a client that takes its answer by the byte.
    #[test]
    fn a_try_that_does_not_end_keeps_nobody_from_the_next() {
        let breaker = Breaker::new(CONFIG);
        assert!((0..3).any(|_| breaker.failed(0, None)));
        let slow = probe(&breaker, 200_000).expect("a try");
        assert!(probe(&breaker, 399_999).is_none());
        let second = probe(&breaker, 400_000).expect("another");
        // One that is long past its time says nothing of who tries now.
        drop(slow);
        assert!(probe(&breaker, 400_001).is_none());
        second.succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert!(matches!(breaker.admit(400_002, None), Admission::Yes));
    }

    #[test]
    fn a_late_failure_does_not_open_what_another_try_has_closed() {
        let breaker = Breaker::new(CONFIG);
        assert!((0..3).any(|_| breaker.failed(0, None)));
        let slow = probe(&breaker, 200_000).expect("a try");
        probe(&breaker, 400_000).expect("another").succeeded();
        slow.failed(400_001, None);
        assert!(matches!(breaker.admit(400_002, None), Admission::Yes));
        assert_eq!(breaker.counted.lock().open_until_us, None);
    }

    #[test]
    fn one_client_opens_it_for_nobody() {
        let breaker = Breaker::new(CONFIG);
        let attacks = |client: &str| (0..100).any(|_| breaker.failed(1000, from(client)));
        // Its network is one client, in whichever form its address comes.
        for client in ["192.0.2.1", "192.0.2.200", "::ffff:192.0.2.3"] {
            assert!(!attacks(client), "{client}");
        }
        assert!(!attacks("2001:db8::1") && !attacks("2001:db8:0:ffff::1"));
        assert!(matches!(breaker.admit(1000, None), Admission::Yes));
        assert!(attacks("198.51.100.1"), "a third");
    }

    #[test]
    fn failures_of_many_clients_open_nothing_while_most_requests_are_inspected() {
        let breaker = Breaker::new(CONFIG);
        assert!(!breaker.failed(1000, from("192.0.2.1")));
        for _ in 0..50 {
            assert!(matches!(breaker.admit(1000, None), Admission::Yes));
        }
        let networks = |numbers: std::ops::Range<u8>| {
            let mut clients = numbers.map(|number| format!("10.0.{number}.1"));
            clients.any(|client| breaker.failed(1000, from(&client)))
        };
        assert!(!networks(0..20));
        assert!(networks(20..60), "half of them");
    }

    #[test]
    fn who_has_failed_does_not_try_while_there_is_somebody_else() {
        let breaker = Breaker::new(CONFIG);
        let clients = ["192.0.2.1", "198.51.100.1", "203.0.113.1"];
        assert!(
            clients
                .iter()
                .any(|client| breaker.failed(1000, from(client)))
        );
        for client in clients {
            assert!(matches!(
                breaker.admit(201_000, from(client)),
                Admission::No
            ));
        }
        let Admission::Probe(good) = breaker.admit(201_000, from("10.0.0.1")) else {
            panic!("somebody else tries");
        };
        drop(good);
        // Nobody came.
        let late = breaker.admit(401_000, from("192.0.2.1"));
        assert!(matches!(late, Admission::Probe(_)));
    }

    #[test]
    fn what_is_known_of_clients_is_bounded() {
        let config = BreakerConfig {
            failures_max: 10_000,
            ..CONFIG
        };
        let breaker = Breaker::new(config);
        for number in 0..2_000_u32 {
            let client = IpAddr::from((number << 8).to_be_bytes());
            breaker.failed(1000, Some(client));
        }
        let counted = breaker.counted.lock();
        assert_eq!(
            (counted.suspects.len(), counted.failures),
            (CLIENTS_MAX, 2_000)
        );
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
