//! What is wrong, named.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Different objects that are listed for one kind; of others only the number of findings is kept.
const OBJECTS_MAX: usize = 100;
const OBJECT_BYTES_MAX: usize = 300;
const DETAIL_BYTES_MAX: usize = 500;

/// What kind of wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A segment ended before its length.
    TruncatedSegment,
    /// A segment has its length and other bytes than the reference.
    WrongBytes,
    /// A segment has the bytes of another rendition, or a quality that was not asked for or is not allowed.
    WrongQuality,
    /// A manifest that is older than it may be, stands still, or goes backwards.
    StaleManifest,
    /// A manifest that cannot be read, or contradicts itself.
    BadManifest,
    /// More requests failed than may.
    ErrorRate,
    /// Requests became slower than at the beginning of the run, or than an SLO allows.
    LatencyShift,
    /// The system led elsewhere than the allow-list lets the tool go.
    RefusedTarget,
    /// What had to hold during a chaos step did not.
    ChaosBroke,
    /// A node that was watched is gone, or grew without end.
    NodeHealth,
}

impl FindingKind {
    /// As in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TruncatedSegment => "truncated-segment",
            Self::WrongBytes => "wrong-bytes",
            Self::WrongQuality => "wrong-quality",
            Self::StaleManifest => "stale-manifest",
            Self::BadManifest => "bad-manifest",
            Self::ErrorRate => "error-rate",
            Self::LatencyShift => "latency-shift",
            Self::RefusedTarget => "refused-target",
            Self::ChaosBroke => "chaos-broke",
            Self::NodeHealth => "node-health",
        }
    }

    /// A sentence's beginning, for people.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::TruncatedSegment => "Segments are cut short",
            Self::WrongBytes => "Segments have wrong bytes",
            Self::WrongQuality => "Segments are of another quality than asked for",
            Self::StaleManifest => "Manifests are out of date",
            Self::BadManifest => "Manifests cannot be used",
            Self::ErrorRate => "Too many requests fail",
            Self::LatencyShift => "Requests became slower",
            Self::RefusedTarget => "Led to a target that may not be touched",
            Self::ChaosBroke => "What had to hold did not",
            Self::NodeHealth => "A node is not well",
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind.
    pub kind: FindingKind,
    /// When, µs after the run's start.
    pub at_us: u64,
    /// With what: a path without its token, a class of requests, a node; cut after 300 bytes.
    pub object: String,
    /// What exactly; cut after 500 bytes.
    pub detail: String,
}

/// The findings of one kind about one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingEntry {
    /// How many.
    pub count: u64,
    /// The first, µs after the run's start.
    pub first_us: u64,
    /// The last.
    pub last_us: u64,
    /// What exactly was wrong the first time.
    pub detail: String,
}

/// The findings of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OfKind {
    /// How many in all, those of objects that are not listed included.
    pub count: u64,
    /// By object: of all that there were, the first 100 in alphabetical order, which is a choice that does not depend on who
    /// saw what first, so that adding up is exact.
    pub objects: BTreeMap<String, FindingEntry>,
}

/// What is wrong, each thing once, with how often: bounded, and adding two is exact.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Findings(BTreeMap<FindingKind, OfKind>);

impl Findings {
    /// One more.
    pub fn add(&mut self, finding: Finding) {
        let entry = FindingEntry {
            count: 1,
            first_us: finding.at_us,
            last_us: finding.at_us,
            detail: cut(finding.detail, DETAIL_BYTES_MAX),
        };
        let of_kind = self.0.entry(finding.kind).or_default();
        of_kind.count += 1;
        of_kind.add(cut(finding.object, OBJECT_BYTES_MAX), entry);
    }

    /// All that another one holds.
    pub fn merge(&mut self, other: &Self) {
        for (kind, theirs) in &other.0 {
            let ours = self.0.entry(*kind).or_default();
            ours.count += theirs.count;
            for (object, entry) in &theirs.objects {
                ours.add(object.clone(), entry.clone());
            }
        }
    }

    /// By kind.
    pub fn iter(&self) -> impl Iterator<Item = (FindingKind, &OfKind)> {
        self.0.iter().map(|(kind, of_kind)| (*kind, of_kind))
    }

    /// How many of one kind.
    #[must_use]
    pub fn count_of(&self, kind: FindingKind) -> u64 {
        self.0.get(&kind).map_or(0, |of_kind| of_kind.count)
    }

    /// How many in all.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.values().map(|of_kind| of_kind.count).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl OfKind {
    fn add(&mut self, object: String, entry: FindingEntry) {
        let own = self.objects.entry(object).or_insert_with(|| FindingEntry {
            count: 0,
            ..entry.clone()
        });
        own.count += entry.count;
        own.last_us = own.last_us.max(entry.last_us);
        if (entry.first_us, &entry.detail) < (own.first_us, &own.detail) {
            (own.first_us, own.detail) = (entry.first_us, entry.detail);
        }
        if self.objects.len() > OBJECTS_MAX {
            self.objects.pop_last();
        }
    }
}

fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let end = (0..=bytes_max)
            .rev()
            .find(|end| text.is_char_boundary(*end))
            .unwrap_or(0);
        text.truncate(end);
    }
    text
}
