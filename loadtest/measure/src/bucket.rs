//! What happened when.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::coarse::Coarse;
use crate::sample::{Outcome, RequestClass, RequestSample};

/// Buckets of a timeline; with more, each gets twice as long.
const BUCKETS_MAX: u64 = 3_600;
/// Times after this are taken for it, µs: eight days, which is longer than a run.
const AT_US_MAX: u64 = 8 * 86_400 * 1_000_000;

/// Requests of one class, counted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that ended, abandoned ones included.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those that did not end as they should, by how they did.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Answers by their status's first digit; 0: no answer.
    pub status_classes: [u64; 6],
    /// Bytes of bodies.
    pub bytes: u64,
    /// Answers by where they came from, in the order of [`crate::CacheSource::ALL`].
    pub sources: [u64; 5],
    /// Their bytes.
    pub source_bytes: [u64; 5],
    /// Connections that were opened.
    pub connections: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, sample: &RequestSample) {
        self.requests += 1;
        self.errors += u64::from(sample.outcome.is_error());
        if sample.outcome != Outcome::Ok {
            *self.outcomes.entry(sample.outcome).or_insert(0) += 1;
        }
        if let Some(count) = self
            .status_classes
            .get_mut(usize::from(sample.status / 100))
        {
            *count += 1;
        }
        self.bytes += sample.bytes;
        if sample.class.is_media() && sample.status > 0 {
            let source = sample.source.index();
            if let (Some(count), Some(bytes)) = (
                self.sources.get_mut(source),
                self.source_bytes.get_mut(source),
            ) {
                *count += 1;
                *bytes += sample.bytes;
            }
        }
        self.connections += u64::from(sample.connect_us.is_some());
    }

    /// All that another one holds.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.bytes += other.bytes;
        self.connections += other.connections;
        for (outcome, count) in &other.outcomes {
            *self.outcomes.entry(*outcome).or_insert(0) += count;
        }
        add_each(&mut self.status_classes, &other.status_classes);
        add_each(&mut self.sources, &other.sources);
        add_each(&mut self.source_bytes, &other.source_bytes);
    }
}

fn add_each<const N: usize>(own: &mut [u64; N], other: &[u64; N]) {
    for (own, other) in own.iter_mut().zip(other) {
        *own += other;
    }
}

/// Requests of one class that ended within one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClassBucket {
    /// Counted.
    pub counts: Counts,
    /// From the intended start to the first byte, µs.
    pub first_byte: Coarse,
    /// From the intended start to the last byte, µs; of requests that were not abandoned, nor cut off just after they began.
    pub last_byte: Coarse,
}

impl ClassBucket {
    /// All that another one holds.
    pub fn merge(&mut self, other: &Self) {
        self.counts.merge(&other.counts);
        self.first_byte.merge(&other.first_byte);
        self.last_byte.merge(&other.last_byte);
    }
}

/// What happened within a second, or within the power of two of seconds that a long run's buckets have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bucket {
    /// Users that started.
    pub arrivals: u64,
    /// Users that should have, and could not.
    pub missed: u64,
    /// Users that left. All that arrived before, less all that left, are there.
    pub departures: u64,
    /// Players' sessions that ended.
    pub sessions: u64,
    /// Of them, those that never began to play, or broke off.
    pub sessions_failed: u64,
    /// How late users started, µs.
    pub lag: Coarse,
    /// Players' first frames, by how long they took, µs.
    pub startup: Coarse,
    /// Media played, µs.
    pub played_us: u64,
    /// Time stalled, µs.
    pub stalled_us: u64,
    /// Stalls that began.
    pub stalls: u64,
    /// Changes of quality.
    pub switches: u64,
    /// Bits of the media played.
    pub media_bits: u64,
    /// Requests that ended.
    pub classes: BTreeMap<RequestClass, ClassBucket>,
}

impl Bucket {
    /// All that another one holds.
    pub fn merge(&mut self, other: &Self) {
        self.arrivals += other.arrivals;
        self.missed += other.missed;
        self.departures += other.departures;
        self.sessions += other.sessions;
        self.sessions_failed += other.sessions_failed;
        self.lag.merge(&other.lag);
        self.startup.merge(&other.startup);
        self.played_us += other.played_us;
        self.stalled_us += other.stalled_us;
        self.stalls += other.stalls;
        self.switches += other.switches;
        self.media_bits += other.media_bits;
        for (class, theirs) in &other.classes {
            self.classes.entry(class.clone()).or_default().merge(theirs);
        }
    }

    /// Requests that an SLO of this class (as in TOML; none: all) is for, counted.
    #[must_use]
    pub fn counts_of(&self, class: Option<&str>) -> Counts {
        let mut sum = Counts::default();
        for (own, of) in &self.classes {
            if own.is_of(class) {
                sum.merge(&of.counts);
            }
        }
        sum
    }
}

/// Buckets of a second; from an hour on, of two, four and so on, so that a long run takes no more room than a short one. Which it is
/// depends on the latest moment only, so that adding two is exact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// How long a bucket is, s.
    bucket_s: u64,
    /// By number: bucket n begins n × `bucket_s` after the run's start. Those in which nothing happened are not there.
    buckets: BTreeMap<u64, Bucket>,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            bucket_s: 1,
            buckets: BTreeMap::new(),
        }
    }
}

impl Timeline {
    /// The bucket of a moment.
    pub fn at(&mut self, at_us: u64) -> &mut Bucket {
        let second = at_us.min(AT_US_MAX) / 1_000_000;
        while second / self.bucket_s >= BUCKETS_MAX {
            self.double();
        }
        self.buckets.entry(second / self.bucket_s).or_default()
    }

    /// All that another one holds.
    pub fn merge(&mut self, other: &Self) {
        // Bounded, whatever a file says.
        while self.bucket_s < other.bucket_s.min(AT_US_MAX) {
            self.double();
        }
        for (index, bucket) in &other.buckets {
            let at_us = index
                .saturating_mul(other.bucket_s)
                .saturating_mul(1_000_000);
            self.at(at_us).merge(bucket);
        }
    }

    fn double(&mut self) {
        self.bucket_s *= 2;
        for (index, bucket) in std::mem::take(&mut self.buckets) {
            self.buckets.entry(index / 2).or_default().merge(&bucket);
        }
    }

    /// How long a bucket is, s: a power of two.
    #[must_use]
    pub fn bucket_s(&self) -> u64 {
        self.bucket_s
    }

    /// The buckets in which something happened, with their beginnings, µs after the run's start.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, &Bucket)> {
        let length_us = self.bucket_s.saturating_mul(1_000_000);
        self.buckets
            .iter()
            .map(move |(index, bucket)| (index.saturating_mul(length_us), bucket))
    }

    /// The buckets that begin within a span.
    pub fn within(&self, span_us: Range<u64>) -> impl Iterator<Item = (u64, &Bucket)> {
        self.iter()
            .filter(move |(at_us, _)| span_us.contains(at_us))
    }

    /// The sum of the buckets that begin within a span.
    #[must_use]
    pub fn sum(&self, span_us: Range<u64>) -> Bucket {
        let mut sum = Bucket::default();
        for (_, bucket) in self.within(span_us) {
            sum.merge(bucket);
        }
        sum
    }
}
