//! What got worse from one run to another, and how sure that is.

use std::collections::{BTreeMap, BTreeSet};

use mcsp_loadtest_scenario::Random;
use serde::Serialize;
use thiserror::Error;

use crate::bucket::Bucket;
use crate::coarse::Coarse;
use crate::results::Results;
use crate::sample::RequestClass;
use crate::session::ratio;
use crate::slo::hit_ratio;
use crate::statistics::{deviation, student};

/// A thousand to one for each metric, so that over some thirty of them a false alarm is one comparison in thirty.
const Z: f64 = 3.290_5;
const RESAMPLES: usize = 400;
const BLOCKS_MIN: usize = 10;
const BLOCKS_MAX: usize = 100;
/// Seconds that follow one another are alike, so they are drawn together.
const BUCKETS_OF_A_BLOCK: usize = 3;

/// Why two runs cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CompareError {
    /// A run is too short to tell its own noise.
    #[error(
        "{which} has {buckets} seconds with requests after its warm-up; {BLOCKS_MIN} at least are needed"
    )]
    TooShort {
        /// `A` or `B`.
        which: &'static str,
        /// What it has.
        buckets: usize,
    },
}

/// One metric of two runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// `segment last-byte p99`.
    pub metric: String,
    /// `ms`, `%`, `kbit/s`, `/s`.
    pub unit: &'static str,
    /// In the first run.
    pub a: f64,
    /// In the second.
    pub b: f64,
    /// `b` − `a`.
    pub difference: f64,
    /// The difference's confidence interval, 99.9 %.
    pub interval_low: f64,
    /// Its upper end.
    pub interval_high: f64,
    /// Whether the interval is on one side of 0.
    pub significant: bool,
    /// Whether it is significant, and to the worse.
    pub worse: bool,
}

/// Two runs beside each other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What makes them less comparable: other scenarios, other machines, runs that are no measurement.
    pub notes: Vec<String>,
    /// Each metric that both have; what got worse first.
    pub changes: Vec<Change>,
}

impl Comparison {
    /// Whether anything got worse.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        self.changes.iter().any(|change| change.worse)
    }
}

/// Compares run `b` with run `a`, after their warm-ups. Each metric's noise is estimated by a block bootstrap over time (Künsch, Annals
/// of Statistics 17, 1989) with numbers drawn from `seed`; the interval is the normal one with Student's correction.
///
/// # Errors
/// A run of fewer than ten seconds with requests.
pub fn compare(a: &Results, b: &Results, seed: u64) -> Result<Comparison, CompareError> {
    let blocks_a = blocks(a, "A")?;
    let blocks_b = blocks(b, "B")?;
    let mut changes = Vec::new();
    for (metric, stream) in metrics(&blocks_a, &blocks_b).iter().zip(0..) {
        let series = [metric.series(&blocks_a), metric.series(&blocks_b)];
        // What happened at a few moments only says nothing of its own noise, whatever the bootstrap makes of it.
        let filled = series.iter().map(Series::filled).min().unwrap_or(0);
        if filled < BLOCKS_MIN {
            continue;
        }
        let mut random = Random::new(seed, stream, 0);
        let [of_a, of_b] = series.map(|series| series.estimate(metric, &mut random));
        let (Some((value_a, error_a)), Some((value_b, error_b))) = (of_a, of_b) else {
            continue;
        };
        let freedom = filled as f64 - 1.0;
        let half = student(Z, freedom) * error_a.hypot(error_b);
        let difference = value_b - value_a;
        let (interval_low, interval_high) = (difference - half, difference + half);
        let significant = interval_low > 0.0 || interval_high < 0.0;
        let is_to_the_worse = (difference > 0.0) == metric.is_cost;
        changes.push(Change {
            metric: metric.name.clone(),
            unit: metric.unit,
            a: value_a,
            b: value_b,
            difference,
            interval_low,
            interval_high,
            significant,
            worse: significant && is_to_the_worse,
        });
    }
    changes.sort_by_key(|change| (!change.worse, !change.significant));
    Ok(Comparison {
        notes: notes(a, b),
        changes,
    })
}

fn notes(a: &Results, b: &Results) -> Vec<String> {
    let mut notes = Vec::new();
    let quiet = |results: &Results| {
        let mut scenario = results.scenario.clone();
        scenario.seed = 0;
        scenario
    };
    if a.scenario.name != b.scenario.name {
        notes.push(format!(
            "the scenarios are {} and {}",
            a.scenario.name, b.scenario.name
        ));
    } else if quiet(a) != quiet(b) {
        notes.push("the scenarios have the same name and are not the same".to_owned());
    }
    if a.machine != b.machine {
        notes.push("the tool ran on different machines".to_owned());
    }
    for (which, results) in [("A", a), ("B", b)] {
        let kind = results.verdict.kind.name();
        if matches!(kind, "tool-overloaded" | "incomplete") {
            notes.push(format!("{which} is no measurement: {kind}"));
        }
    }
    notes
}

/// Stretches of a run of equal length.
fn blocks(results: &Results, which: &'static str) -> Result<Vec<Bucket>, CompareError> {
    let span_us = results.scenario.warm_up_us()..results.scenario.duration_us();
    let buckets: Vec<&Bucket> = results
        .seen
        .timeline
        .within(span_us)
        .map(|(_, bucket)| bucket)
        .filter(|bucket| !bucket.classes.is_empty())
        .collect();
    if buckets.len() < BLOCKS_MIN {
        return Err(CompareError::TooShort {
            which,
            buckets: buckets.len(),
        });
    }
    let count = (buckets.len() / BUCKETS_OF_A_BLOCK).clamp(BLOCKS_MIN, BLOCKS_MAX);
    let mut blocks = vec![Bucket::default(); count];
    for (index, bucket) in buckets.iter().enumerate() {
        if let Some(block) = blocks.get_mut(index * count / buckets.len()) {
            block.merge(bucket);
        }
    }
    Ok(blocks)
}

/// How a metric is had of a stretch of the run.
enum Kind {
    /// A quantile of a distribution.
    Quantile(f64, fn(&Bucket, &RequestClass) -> Coarse),
    /// One sum over another.
    Ratio(fn(&Bucket, &RequestClass) -> (u64, u64), f64),
}

struct Metric {
    name: String,
    unit: &'static str,
    kind: Kind,
    class: RequestClass,
    /// Whether more is worse.
    is_cost: bool,
}

/// A metric's raw material, block by block; sums of it are one of the whole.
struct Series {
    /// The bins that hold anything, in order; of ratios, 0 and 1.
    bins: Vec<u16>,
    /// For each block, indices into these and what is added there.
    blocks: Vec<Vec<(usize, u64)>>,
}

impl Metric {
    fn series(&self, blocks: &[Bucket]) -> Series {
        let raw: Vec<Vec<(u16, u64)>> = blocks
            .iter()
            .map(|block| match &self.kind {
                Kind::Quantile(_, values) => values(block, &self.class).into(),
                Kind::Ratio(parts, _) => {
                    let (part, whole) = parts(block, &self.class);
                    vec![(0, part), (1, whole)]
                }
            })
            .collect();
        let bins: BTreeSet<u16> = raw.iter().flatten().map(|(bin, _)| *bin).collect();
        let bins: Vec<u16> = bins.into_iter().collect();
        let place =
            |(bin, count): (u16, u64)| bins.binary_search(&bin).ok().map(|index| (index, count));
        let blocks = raw
            .into_iter()
            .map(|block| block.into_iter().filter_map(place).collect())
            .collect();
        Series { bins, blocks }
    }

    fn value(&self, series: &Series, sum: &[u64]) -> Option<f64> {
        match &self.kind {
            Kind::Quantile(quantile, _) => {
                let bins = series.bins.iter().copied().zip(sum.iter().copied());
                let us = Coarse::quantile_of(bins, sum.iter().sum(), *quantile)?;
                Some(us / 1e3)
            }
            Kind::Ratio(_, scale) => match sum {
                [part, whole, ..] => ratio(*part, *whole).map(|value| value * scale),
                _ => None,
            },
        }
    }
}

impl Series {
    /// The blocks in which anything was measured.
    fn filled(&self) -> usize {
        let has_any = |block: &&Vec<(usize, u64)>| block.iter().any(|(_, count)| *count > 0);
        self.blocks.iter().filter(has_any).count()
    }

    fn sum_of(&self, indices: impl Iterator<Item = usize>) -> Vec<u64> {
        let mut sum = vec![0; self.bins.len()];
        for block in indices.filter_map(|index| self.blocks.get(index)) {
            for (index, count) in block {
                if let Some(own) = sum.get_mut(*index) {
                    *own += count;
                }
            }
        }
        sum
    }

    /// The metric's value, and its standard error by the bootstrap.
    fn estimate(&self, metric: &Metric, random: &mut Random) -> Option<(f64, f64)> {
        let blocks = self.blocks.len();
        let value = metric.value(self, &self.sum_of(0..blocks))?;
        let values: Vec<f64> = (0..RESAMPLES)
            .filter_map(|_| {
                let drawn = (0..blocks).map(|_| random.below(blocks as u64) as usize);
                metric.value(self, &self.sum_of(drawn))
            })
            .collect();
        Some((value, deviation(&values)))
    }
}

/// What both runs have.
fn metrics(a: &[Bucket], b: &[Bucket]) -> Vec<Metric> {
    let classes_of = |blocks: &[Bucket]| -> BTreeSet<RequestClass> {
        blocks
            .iter()
            .flat_map(|block| block.classes.keys().cloned())
            .collect()
    };
    let (classes_a, classes_b) = (classes_of(a), classes_of(b));
    let none = RequestClass::Segment;
    let metric = |name: String, unit, kind, class: &RequestClass, is_cost| Metric {
        name,
        unit,
        kind,
        class: class.clone(),
        is_cost,
    };
    let mut metrics = Vec::new();
    for class in classes_a.intersection(&classes_b) {
        for (quantile, name) in [(0.5, "p50"), (0.9, "p90"), (0.99, "p99")] {
            let first = Kind::Quantile(quantile, |bucket, class| {
                of(&bucket.classes, class, |of| &of.first_byte)
            });
            let last = Kind::Quantile(quantile, |bucket, class| {
                of(&bucket.classes, class, |of| &of.last_byte)
            });
            metrics.push(metric(
                format!("{class} first-byte {name}"),
                "ms",
                first,
                class,
                true,
            ));
            metrics.push(metric(
                format!("{class} last-byte {name}"),
                "ms",
                last,
                class,
                true,
            ));
        }
        let errors = Kind::Ratio(
            |bucket, class| {
                bucket
                    .classes
                    .get(class)
                    .map_or((0, 0), |of| (of.counts.errors, of.counts.requests))
            },
            100.0,
        );
        metrics.push(metric(format!("{class} errors"), "%", errors, class, true));
    }
    for (quantile, name) in [(0.5, "p50"), (0.95, "p95")] {
        let startup = Kind::Quantile(quantile, |bucket, _| bucket.startup.clone());
        metrics.push(metric(
            format!("start-up {name}"),
            "ms",
            startup,
            &none,
            true,
        ));
    }
    let rebuffer = Kind::Ratio(
        |bucket, _| (bucket.stalled_us, bucket.stalled_us + bucket.played_us),
        100.0,
    );
    metrics.push(metric(
        "rebuffer ratio".to_owned(),
        "%",
        rebuffer,
        &none,
        true,
    ));
    let bitrate = Kind::Ratio(|bucket, _| (bucket.media_bits, bucket.played_us), 1_000.0);
    metrics.push(metric(
        "bitrate".to_owned(),
        "kbit/s",
        bitrate,
        &none,
        false,
    ));
    let hits = Kind::Ratio(|bucket, _| hits_of(bucket), 100.0);
    metrics.push(metric("hit ratio".to_owned(), "%", hits, &none, false));
    metrics
}

fn of(
    classes: &BTreeMap<RequestClass, crate::bucket::ClassBucket>,
    class: &RequestClass,
    pick: impl Fn(&crate::bucket::ClassBucket) -> &Coarse,
) -> Coarse {
    classes
        .get(class)
        .map_or(Coarse::default(), |of| pick(of).clone())
}

/// Media answers without the origin, and those of which it is known.
fn hits_of(bucket: &Bucket) -> (u64, u64) {
    let counts = bucket.counts_of(None);
    let known: u64 = counts.sources.iter().take(4).sum();
    let hits = hit_ratio(&counts).map_or(0, |ratio| (ratio * known as f64).round() as u64);
    (hits, known)
}
