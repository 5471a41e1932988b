//! Whether the disk serves, and when it is asked again after it did not.

use serde::Serialize;

use super::medium::Trouble;
use crate::disk_tier::DiskState;

/// Misses of a deadline, or refused reads, one after the other, that make the disk degraded.
const STREAK_MAX: u32 = 4;
const BACKOFF_MIN_MS: i64 = 1_000;
const BACKOFF_MAX_MS: i64 = 60_000;
/// A disk that is in trouble again so soon after it came back is waited for as if it had not come back.
const RELAPSE_MS: i64 = 300_000;

/// The disk's health, for the admin port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskHealth {
    /// `ok`, `slow`, `full` or `failed`.
    pub state: &'static str,
    /// What was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when it has been so, ms since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<i64>,
    /// When it is tried again, ms since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_probe_ms: Option<i64>,
    /// Tries that did not help: since then, and before a recovery that did not last.
    pub failed_probes: u32,
}

#[derive(Debug, Clone)]
struct Degraded {
    trouble: Trouble,
    since_ms: i64,
    reason: String,
    next_probe_ms: i64,
    failed_probes: u32,
}

#[derive(Debug, Default)]
pub(super) struct Health {
    degraded: Option<Degraded>,
    slow_reads: u32,
    failed_reads: u32,
    lost_batches: u32,
    last_recovery: Option<Recovery>,
}

#[derive(Debug, Clone, Copy)]
struct Recovery {
    at_ms: i64,
    /// Probes that had failed until then.
    failed_probes: u32,
}

fn backoff_ms(failed_probes: u32) -> i64 {
    (BACKOFF_MIN_MS << failed_probes.min(6)).min(BACKOFF_MAX_MS)
}

impl Health {
    /// Something is wrong as of `now_ms`. The first report counts; later ones are of the same trouble.
    pub(super) fn degrade(&mut self, trouble: Trouble, reason: String, now_ms: i64) {
        if self.degraded.is_none() {
            let relapse = self
                .last_recovery
                .filter(|recovery| now_ms - recovery.at_ms < RELAPSE_MS);
            let failed_probes = relapse.map_or(0, |recovery| recovery.failed_probes + 1);
            tracing::warn!(
                alert = "cache-disk-degraded",
                trouble = trouble.word(),
                reason,
                "the cache's disk is left alone: the cache goes on in memory"
            );
            self.degraded = Some(Degraded {
                trouble,
                since_ms: now_ms,
                reason,
                next_probe_ms: now_ms + backoff_ms(failed_probes),
                failed_probes,
            });
        }
    }

    /// A probe said that it is not over.
    pub(super) fn probe_failed(&mut self, trouble: Trouble, reason: String, now_ms: i64) {
        if let Some(degraded) = &mut self.degraded {
            // Further ones change nothing.
            degraded.failed_probes = (degraded.failed_probes + 1).min(1_000);
            degraded.next_probe_ms = now_ms + backoff_ms(degraded.failed_probes);
            degraded.trouble = trouble;
            degraded.reason = reason;
        }
    }

    /// The disk works as of `now_ms`.
    pub(super) fn recovered(&mut self, now_ms: i64) {
        if let Some(degraded) = &self.degraded {
            let after_ms = now_ms.saturating_sub(degraded.since_ms);
            tracing::info!(after_ms, "the cache's disk works again");
        }
        let failed_probes = self.report().failed_probes;
        *self = Self {
            last_recovery: Some(Recovery {
                at_ms: now_ms,
                failed_probes,
            }),
            ..Self::default()
        };
    }

    pub(super) fn is_degraded(&self) -> bool {
        self.degraded.is_some()
    }

    pub(super) fn is_probe_due(&self, now_ms: i64) -> bool {
        self.degraded
            .as_ref()
            .is_some_and(|degraded| now_ms >= degraded.next_probe_ms)
    }

    pub(super) fn read_answered(&mut self) {
        self.slow_reads = 0;
        self.failed_reads = 0;
    }

    /// True when the disk has missed too many deadlines in a row.
    pub(super) fn read_too_slow(&mut self) -> bool {
        self.slow_reads += 1;
        self.slow_reads >= STREAK_MAX
    }

    /// True when the disk has refused too many reads in a row.
    pub(super) fn read_failed(&mut self) -> bool {
        self.failed_reads += 1;
        self.failed_reads >= STREAK_MAX
    }

    pub(super) fn batch_written(&mut self) {
        self.lost_batches = 0;
    }

    /// True when too many batches in a row were not kept.
    pub(super) fn batch_lost(&mut self) -> bool {
        self.lost_batches += 1;
        self.lost_batches >= STREAK_MAX
    }

    pub(super) fn state(&self) -> DiskState {
        match &self.degraded {
            None => DiskState::Healthy,
            Some(degraded) => DiskState::Degraded {
                since_ms: degraded.since_ms,
                reason: format!("{}: {}", degraded.trouble.word(), degraded.reason),
            },
        }
    }

    pub(super) fn report(&self) -> DiskHealth {
        let degraded = self.degraded.as_ref();
        DiskHealth {
            state: degraded.map_or("ok", |degraded| degraded.trouble.word()),
            reason: degraded.map(|degraded| degraded.reason.clone()),
            since_ms: degraded.map(|degraded| degraded.since_ms),
            next_probe_ms: degraded.map(|degraded| degraded.next_probe_ms),
            failed_probes: degraded.map_or(0, |degraded| degraded.failed_probes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_come_ever_later_but_they_come() {
        let mut health = Health::default();
        health.degrade(Trouble::Full, "no room".to_owned(), 0);
        let mut now_ms = 0;
        let mut waits_s = Vec::new();
        for _ in 0..8 {
            let next_probe_ms = health.report().next_probe_ms.unwrap();
            waits_s.push((next_probe_ms - now_ms) / 1000);
            assert!(!health.is_probe_due(next_probe_ms - 1));
            assert!(health.is_probe_due(next_probe_ms));
            now_ms = next_probe_ms;
            health.probe_failed(Trouble::Full, "no room".to_owned(), now_ms);
        }
        assert_eq!(waits_s, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(health.report().since_ms, Some(0));
        health.recovered(now_ms);
        assert_eq!(health.state(), DiskState::Healthy);
    }

    #[test]
    fn a_relapse_is_waited_for_longer_and_a_later_trouble_is_not() {
        let mut health = Health::default();
        let mut wait_s = |now_ms: i64| {
            health.degrade(Trouble::Failed, "lost".to_owned(), now_ms);
            let next_probe_ms = health.report().next_probe_ms.unwrap();
            health.recovered(next_probe_ms);
            (next_probe_ms - now_ms) / 1000
        };
        let waits_s: Vec<i64> = (0..4).map(|minute| wait_s(minute * 60_000)).collect();
        assert_eq!(waits_s, [1, 2, 4, 8]);
        assert_eq!(wait_s(3_600_000), 1);
    }

    #[test]
    fn one_slow_read_is_no_slow_disk() {
        let mut health = Health::default();
        for _ in 0..100 {
            assert!(!health.read_too_slow());
            health.read_answered();
        }
        let verdicts: Vec<bool> = (0..4).map(|_| health.read_too_slow()).collect();
        assert_eq!(verdicts, [false, false, false, true]);
    }
}
