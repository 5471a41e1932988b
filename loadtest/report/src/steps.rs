//! A run's seconds, gathered into as few stretches as a graph or a table has room for.

use mcsp_loadtest_measure::{Bucket, Coarse, Results};

/// A stretch of a run.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Its beginning, s after the run's start.
    pub(crate) from_s: f64,
    /// Its length, s; the last one's may be shorter.
    pub(crate) length_s: f64,
    /// Users at its end.
    pub(crate) users: u64,
    /// All that happened in it.
    pub(crate) bucket: Bucket,
}

/// A run as stretches of equal length; the last may be shorter.
#[derive(Debug, Clone)]
pub(crate) struct Steps {
    /// The run's end, s after its start; above 0.
    pub(crate) end_s: f64,
    pub(crate) list: Vec<Step>,
}

/// Lengths that people count in, s.
const LENGTHS_S: [u64; 14] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200,
];

impl Steps {
    /// At most `count_max` (1 at least) of them.
    pub(crate) fn new(results: &Results, count_max: u64) -> Self {
        let timeline = &results.seen.timeline;
        let bucket_s = timeline.bucket_s().max(1);
        let last_us = timeline.iter().next_back().map_or(0, |(at_us, _)| at_us);
        // What happened last may have happened in the middle of its bucket.
        let last_s = last_us / 1_000_000 + 1;
        let end_s = (results.took_us as f64 / 1e6).max(last_s as f64);
        let whole_s = results.took_us.div_ceil(1_000_000).max(last_s);
        let length_s = length(whole_s, bucket_s, count_max.max(1));
        let count = whole_s.div_ceil(length_s).min(count_max.max(1));
        let mut list: Vec<Step> = (0..count)
            .map(|index| {
                let from_s = index.saturating_mul(length_s) as f64;
                Step {
                    from_s,
                    length_s: (end_s - from_s).clamp(1e-3, length_s as f64),
                    users: 0,
                    bucket: Bucket::default(),
                }
            })
            .collect();
        for (at_us, bucket) in timeline.iter() {
            let index = usize::try_from(at_us / 1_000_000 / length_s).unwrap_or(usize::MAX);
            if let Some(step) = list.get_mut(index) {
                step.bucket.merge(bucket);
            }
        }
        let mut users = 0_u64;
        for step in &mut list {
            users = (users + step.bucket.arrivals).saturating_sub(step.bucket.departures);
            step.users = users;
        }
        Self { end_s, list }
    }

    /// One value of each step, at its middle.
    pub(crate) fn points(&self, value: impl Fn(&Step) -> Option<f64>) -> Vec<(f64, Option<f64>)> {
        let point = |step: &Step| {
            (
                step.from_s + step.length_s / 2.0,
                value(step).filter(|value| value.is_finite()),
            )
        };
        self.list.iter().map(point).collect()
    }
}

/// The shortest length that people count in, of whole buckets, of which `count_max` are enough.
fn length(whole_s: u64, bucket_s: u64, count_max: u64) -> u64 {
    let needed_s = whole_s.div_ceil(count_max).max(bucket_s);
    LENGTHS_S
        .into_iter()
        .filter(|length_s| length_s.is_multiple_of(bucket_s))
        .find(|length_s| (needed_s..=needed_s.saturating_mul(2)).contains(length_s))
        .unwrap_or(needed_s.div_ceil(bucket_s).saturating_mul(bucket_s))
}

impl Step {
    /// So many within the step, per second.
    pub(crate) fn per_s(&self, count: u64) -> f64 {
        count as f64 / self.length_s
    }
}

/// The time to the last byte of the requests of some classes, µs.
pub(crate) fn last_byte(
    bucket: &Bucket,
    is_of: impl Fn(&mcsp_loadtest_measure::RequestClass) -> bool,
) -> Coarse {
    let mut sum = Coarse::default();
    for (_, class) in bucket.classes.iter().filter(|(class, _)| is_of(class)) {
        sum.merge(&class.last_byte);
    }
    sum
}

/// None for a division by 0.
pub(crate) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// A quantile in ms of values in µs.
pub(crate) fn quantile_ms(values: &Coarse, quantile: f64) -> Option<f64> {
    values.quantile(quantile).map(|us| us / 1e3)
}

#[cfg(test)]
mod tests {
    use super::length;

    #[test]
    fn lengths_are_of_whole_buckets() {
        for (whole_s, bucket_s, count_max, length_s) in [
            (60, 1, 120, 1),
            (130, 1, 120, 2),
            (3_600, 1, 120, 30),
            (7_200, 2, 120, 60),
            (86_400, 32, 120, 736),
            (0, 1, 120, 1),
            (10, 1, 1, 10),
        ] {
            assert_eq!(
                length(whole_s, bucket_s, count_max),
                length_s,
                "{whole_s} {bucket_s}"
            );
        }
    }
}
