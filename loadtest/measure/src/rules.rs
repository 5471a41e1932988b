//! From what was counted to what is wrong.

use std::collections::BTreeSet;
use std::ops::Range;

use mcsp_loadtest_scenario::{FindingSettings, Metric, Scenario};

use crate::bucket::{ClassBucket, Counts, Timeline};
use crate::coarse::Coarse;
use crate::finding::{Finding, FindingKind, Findings};
use crate::partial::Partial;
use crate::results::{ChaosRecord, NodeSeries, SloVerdict};
use crate::sample::{Outcome, RequestClass};
use crate::statistics::wilson_low;

/// One in two thousand: how often an error rate at its bound would be taken for one above it.
const ERROR_Z: f64 = 3.29;
/// One in a hundred; the threshold itself is far above what a clean run's p99 does.
const SHIFT_Z: f64 = 2.33;
/// The share of requests that a p99 leaves above it.
const ABOVE_P99: f64 = 0.01;
/// A stretch of the run that is judged by itself has this many times `requests_min` requests.
const STRETCH: u64 = 5;

/// Adds what the counters tell. Requests during chaos steps are not judged: what must hold then, the steps say.
pub(crate) fn derive(scenario: &Scenario, nodes: &[NodeSeries], seen: &mut Partial) {
    let chaos: Vec<Range<u64>> = scenario
        .chaos
        .iter()
        .map(mcsp_loadtest_scenario::Step::judged_us)
        .collect();
    let classes: BTreeSet<RequestClass> = seen
        .timeline
        .iter()
        .flat_map(|(_, bucket)| bucket.classes.keys().cloned())
        .collect();
    let baseline_us =
        scenario.warm_up_us()..scenario.warm_up_us() + scenario.baseline_s * 1_000_000;
    let mut found = Vec::new();
    for class in &classes {
        let judged = Judged {
            timeline: &seen.timeline,
            class,
            chaos: &chaos,
            settings: &scenario.findings,
        };
        found.extend(judged.error_rate(scenario.warm_up_us()));
        if scenario.baseline_s > 0 {
            found.extend(judged.latency_shift(baseline_us.clone()));
        }
    }
    found.extend(nodes.iter().filter_map(|node| gone(node, scenario)));
    for finding in found {
        seen.findings.add(finding);
    }
}

/// What of an SLO of latency is not met is a finding too, so that it is named.
pub(crate) fn slow_for_slo(slo: &[SloVerdict], scenario: &Scenario, findings: &mut Findings) {
    for verdict in slo
        .iter()
        .filter(|verdict| !verdict.met && verdict.slo.metric == Metric::LatencyMs)
    {
        if let Some(measured) = verdict.measured {
            findings.add(Finding {
                kind: FindingKind::LatencyShift,
                at_us: scenario.warm_up_us(),
                object: format!("slo {}", verdict.slo.name),
                detail: format!("{measured:.1} ms; asked: {}", verdict.slo.sentence()),
            });
        }
    }
}

/// What had to hold during a chaos step and did not.
pub(crate) fn broken_by_chaos(record: &ChaosRecord, findings: &mut Findings) {
    for verdict in record.must_hold.iter().filter(|verdict| !verdict.met) {
        let measured = verdict
            .measured
            .map_or("nothing was measured".to_owned(), |value| {
                format!("measured {value:.4}")
            });
        findings.add(Finding {
            kind: FindingKind::ChaosBroke,
            at_us: record.from_us,
            object: format!(
                "{} {}: {}",
                record.action.name(),
                record.target,
                verdict.slo.name
            ),
            detail: format!("{measured}; asked: {}", verdict.slo.sentence()),
        });
    }
}

/// Whether each such request is a finding already, with what exactly was wrong: its number would say the same again, and less.
fn is_named(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Truncated | Outcome::WrongBytes)
}

/// Errors that no other finding is about.
fn unnamed(counts: &Counts) -> u64 {
    let named = counts
        .outcomes
        .iter()
        .filter(|(outcome, _)| is_named(**outcome))
        .map(|(_, count)| count);
    counts.errors.saturating_sub(named.sum())
}

/// A class of requests over a timeline.
struct Judged<'a> {
    timeline: &'a Timeline,
    class: &'a RequestClass,
    chaos: &'a [Range<u64>],
    settings: &'a FindingSettings,
}

impl Judged<'_> {
    /// The class's buckets that begin in a span and overlap no chaos step.
    fn buckets(&self, span_us: Range<u64>) -> impl Iterator<Item = (u64, &ClassBucket)> {
        let length_us = self.timeline.bucket_s() * 1_000_000;
        let is_calm = move |at_us: u64| {
            let overlaps = |step: &Range<u64>| {
                step.start < at_us.saturating_add(length_us) && at_us < step.end
            };
            !self.chaos.iter().any(overlaps)
        };
        let buckets = self
            .timeline
            .within(span_us)
            .filter(move |(at_us, _)| is_calm(*at_us));
        buckets.filter_map(|(at_us, bucket)| bucket.classes.get(self.class).map(|of| (at_us, of)))
    }

    /// The whole span, then its stretches of enough requests each.
    fn stretches(&self, span_us: Range<u64>) -> Vec<(u64, ClassBucket)> {
        let enough = self.settings.requests_min.saturating_mul(STRETCH);
        let (mut whole, mut stretches) = (None::<(u64, ClassBucket)>, Vec::new());
        let mut current = None::<(u64, ClassBucket)>;
        for (at_us, of) in self.buckets(span_us) {
            for sum in [&mut whole, &mut current] {
                sum.get_or_insert_with(|| (at_us, ClassBucket::default()))
                    .1
                    .merge(of);
            }
            if current
                .as_ref()
                .is_some_and(|(_, sum)| sum.counts.requests >= enough)
            {
                stretches.extend(current.take());
            }
        }
        let whole = whole.filter(|(_, sum)| sum.counts.requests >= self.settings.requests_min);
        whole.into_iter().chain(stretches).collect()
    }

    /// The whole run's error rate, or that of the first stretch in which it is too high.
    fn error_rate(&self, from_us: u64) -> Option<Finding> {
        let bound = self.settings.error_ratio_max;
        let is_high = |sum: &ClassBucket| {
            wilson_low(unnamed(&sum.counts), sum.counts.requests, ERROR_Z) > bound
        };
        let (at_us, sum) = self
            .stretches(from_us..u64::MAX)
            .into_iter()
            .find(|(_, sum)| is_high(sum))?;
        let first = self
            .buckets(at_us..u64::MAX)
            .find(|(_, of)| unnamed(&of.counts) > 0);
        let counts = &sum.counts;
        let ways = counts
            .outcomes
            .iter()
            .filter(|(outcome, _)| outcome.is_error() && !is_named(**outcome));
        let ways: Vec<String> = ways
            .map(|(outcome, count)| format!("{} {count}", outcome.name()))
            .collect();
        let detail = format!(
            "{:.2} % of {} requests failed ({}); at most {} % may",
            100.0 * unnamed(counts) as f64 / counts.requests.max(1) as f64,
            counts.requests,
            ways.join(", "),
            100.0 * bound
        );
        Some(Finding {
            kind: FindingKind::ErrorRate,
            at_us: first.map_or(at_us, |(at_us, _)| at_us),
            object: self.class.to_string(),
            detail,
        })
    }

    /// What of a class is held against its baseline. How long media take to their last byte is a matter of the users' links, and of the
    /// quality that these let them choose; a slow node is late with the first.
    fn latency<'b>(&self, of: &'b ClassBucket) -> &'b Coarse {
        if self.class.is_media() {
            &of.first_byte
        } else {
            &of.last_byte
        }
    }

    /// Whether after the baseline more than 1 % of requests are slower than its p99 and the allowed rise.
    fn latency_shift(&self, baseline_us: Range<u64>) -> Option<Finding> {
        let mut baseline = ClassBucket::default();
        for (_, of) in self.buckets(baseline_us.clone()) {
            baseline.merge(of);
        }
        let before = self.latency(&baseline);
        if before.count() < self.settings.requests_min {
            return None;
        }
        let before_us = before.quantile(0.99)?;
        let bound_us = before_us as u64 + self.settings.latency_shift_ms * 1_000;
        let is_slow = |sum: &ClassBucket| {
            let values = self.latency(sum);
            wilson_low(values.above(bound_us), values.count(), SHIFT_Z) > ABOVE_P99
        };
        let stretches = self.stretches(baseline_us.end..u64::MAX);
        let (_, sum) = stretches.iter().find(|(_, sum)| is_slow(sum))?;
        let first = self
            .buckets(baseline_us.end..u64::MAX)
            .find(|(_, of)| self.latency(of).above(bound_us) > 0);
        let after_ms = self.latency(sum).quantile(0.99)? / 1e3;
        let before_ms = before_us / 1e3;
        Some(Finding {
            kind: FindingKind::LatencyShift,
            at_us: first.map_or(baseline_us.end, |(at_us, _)| at_us),
            object: self.class.to_string(),
            detail: format!(
                "p99 {after_ms:.0} ms, {before_ms:.0} ms in the baseline: {:.0} ms more, of which {} ms may be",
                after_ms - before_ms,
                self.settings.latency_shift_ms
            ),
        })
    }
}

/// A node that did not answer twice in a row, when no chaos step was at it.
fn gone(node: &NodeSeries, scenario: &Scenario) -> Option<Finding> {
    let is_harmed = |at_us: u64| {
        let steps = scenario
            .chaos
            .iter()
            .filter(|step| step.target == node.name);
        steps
            .map(mcsp_loadtest_scenario::Step::judged_us)
            .any(|span| span.contains(&at_us))
    };
    let pairs = node.samples.iter().zip(node.samples.iter().skip(1));
    let was_up = |at_us: u64| {
        node.samples
            .iter()
            .any(|sample| sample.is_up && sample.at_us < at_us)
    };
    let (first, _) = pairs
        .filter(|(first, second)| !first.is_up && !second.is_up)
        .find(|(first, second)| {
            was_up(first.at_us) && !is_harmed(first.at_us) && !is_harmed(second.at_us)
        })?;
    Some(Finding {
        kind: FindingKind::NodeHealth,
        at_us: first.at_us,
        object: node.name.clone(),
        detail: "it no longer answers for its metrics".to_owned(),
    })
}
