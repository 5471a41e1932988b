//! What one recorder saw, or several together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bucket::{Counts, Timeline};
use crate::checked::Checked;
use crate::finding::Findings;
use crate::latency::{Latencies, Latency};
use crate::sample::RequestClass;
use crate::session::SessionTotals;

/// What one recorder saw since it was last asked, or several recorders together. Adding two is exact, whatever the order: the sum of
/// the parts is what one recorder would have seen.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Partial {
    /// What happened when; the warm-up included.
    pub timeline: Timeline,
    /// Requests by class, after the warm-up.
    pub counts: BTreeMap<RequestClass, Counts>,
    /// Their latencies.
    pub latencies: Latencies,
    /// Players' sessions, after the warm-up.
    pub sessions: SessionTotals,
    /// How late users started; the warm-up included, since a tool that is late there is late.
    pub lag: Latency,
    /// What segments' bytes were held against; the warm-up included.
    #[serde(default)]
    pub checked: Checked,
    /// What is wrong; the warm-up included.
    pub findings: Findings,
}

impl Partial {
    /// All that another one holds.
    pub fn merge(&mut self, other: &Self) {
        self.timeline.merge(&other.timeline);
        for (class, counts) in &other.counts {
            self.counts.entry(class.clone()).or_default().merge(counts);
        }
        self.latencies.merge(&other.latencies);
        self.sessions.merge(&other.sessions);
        self.lag.merge(&other.lag);
        self.checked.merge(&other.checked);
        self.findings.merge(&other.findings);
    }

    /// Requests that an SLO of this class (as in TOML; none: all) is for, counted.
    #[must_use]
    pub fn counts_of(&self, class: Option<&str>) -> Counts {
        let mut sum = Counts::default();
        for (own, counts) in &self.counts {
            if own.is_of(class) {
                sum.merge(counts);
            }
        }
        sum
    }
}
