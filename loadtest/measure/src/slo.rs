//! What was measured for an SLO.

use std::ops::Range;

use mcsp_loadtest_scenario::{Metric, Phase, Scenario, Slo};

use crate::bucket::{Bucket, Counts};
use crate::coarse::Coarse;
use crate::partial::Partial;
use crate::results::{ChaosRecord, SloVerdict};
use crate::sample::CacheSource;
use crate::session::ratio;

/// A value in the metric's unit, and by how many requests or sessions.
type Measured = (Option<f64>, u64);

/// Of the whole run, the warm-up apart; quantiles are exact to three digits.
#[must_use]
pub fn evaluate(slo: &Slo, scenario: &Scenario, seen: &Partial) -> SloVerdict {
    let class = slo.class.as_deref();
    let quantile = slo.quantile.unwrap_or(0.99);
    let sessions = &seen.sessions;
    let measured = match slo.metric {
        Metric::LatencyMs => {
            let latency = seen
                .latencies
                .of(class, slo.phase.unwrap_or(Phase::LastByte));
            (
                latency.quantile_us(quantile).map(|us| us as f64 / 1e3),
                latency.count(),
            )
        }
        Metric::StartupMs => {
            let startup = &sessions.startup;
            (
                startup.quantile_us(quantile).map(|us| us as f64 / 1e3),
                startup.count(),
            )
        }
        Metric::RebufferRatio => (sessions.rebuffer_ratio(), sessions.started),
        Metric::SessionFailureRatio => {
            (ratio(sessions.failed, sessions.sessions), sessions.sessions)
        }
        Metric::BitrateKbitS => (sessions.bitrate_kbit_s(), sessions.started),
        Metric::SwitchesPerMin => (
            per_minute(sessions.switches, sessions.played_us),
            sessions.started,
        ),
        Metric::ErrorRatio | Metric::HitRatio | Metric::RequestsPerS => {
            let seconds = scenario.duration_s.saturating_sub(scenario.warm_up_s);
            of_counts(slo.metric, &seen.counts_of(class), seconds)
        }
        Metric::Findings => (Some(seen.findings.count() as f64), 0),
    };
    verdict(slo, measured)
}

/// Of a span of the run, by the buckets that begin in it; quantiles are exact to 3.2 %.
#[must_use]
pub fn evaluate_within(slo: &Slo, seen: &Partial, span_us: Range<u64>) -> SloVerdict {
    let sum = seen.timeline.sum(span_us.clone());
    let quantile = slo.quantile.unwrap_or(0.99);
    let of_quantile =
        |values: &Coarse| (values.quantile(quantile).map(|us| us / 1e3), values.count());
    let measured = match slo.metric {
        Metric::LatencyMs => of_quantile(&latency_of(&sum, slo)),
        Metric::StartupMs => of_quantile(&sum.startup),
        Metric::RebufferRatio => (
            ratio(sum.stalled_us, sum.stalled_us + sum.played_us),
            sum.arrivals,
        ),
        Metric::SessionFailureRatio => (ratio(sum.sessions_failed, sum.sessions), sum.sessions),
        Metric::BitrateKbitS => (
            ratio(sum.media_bits, sum.played_us).map(|mbit_s| mbit_s * 1e3),
            sum.arrivals,
        ),
        Metric::SwitchesPerMin => (per_minute(sum.switches, sum.played_us), sum.arrivals),
        Metric::ErrorRatio | Metric::HitRatio | Metric::RequestsPerS => {
            let seconds = span_us.end.saturating_sub(span_us.start) / 1_000_000;
            of_counts(slo.metric, &sum.counts_of(slo.class.as_deref()), seconds)
        }
        Metric::Findings => {
            let objects = seen
                .findings
                .iter()
                .flat_map(|(_, of_kind)| of_kind.objects.values());
            let within = objects
                .filter(|entry| span_us.contains(&entry.first_us))
                .map(|entry| entry.count);
            (Some(within.sum::<u64>() as f64), 0)
        }
    };
    verdict(slo, measured)
}

/// What had to hold during a chaos step.
pub(crate) fn evaluate_step(scenario: &Scenario, record: &mut ChaosRecord, seen: &Partial) {
    let Some(step) = scenario.chaos.get(record.step) else {
        return;
    };
    let recovery_us = step.recovery_s.saturating_mul(1_000_000);
    let span_us = record.from_us..record.until_us.saturating_add(recovery_us);
    let named = step
        .must_hold
        .iter()
        .filter_map(|name| scenario.slo.iter().find(|slo| slo.name == *name));
    record.must_hold = named
        .map(|slo| evaluate_within(slo, seen, span_us.clone()))
        .collect();
}

/// Media answers that no origin had to give, over those of which it is known.
#[must_use]
pub fn hit_ratio(counts: &Counts) -> Option<f64> {
    let of = |source: CacheSource| counts.sources.get(source.index()).copied().unwrap_or(0);
    let hits = of(CacheSource::Memory) + of(CacheSource::Disk) + of(CacheSource::Shield);
    ratio(hits, hits + of(CacheSource::Origin))
}

fn of_counts(metric: Metric, counts: &Counts, seconds: u64) -> Measured {
    let value = match metric {
        Metric::ErrorRatio => ratio(counts.errors, counts.requests),
        Metric::HitRatio => hit_ratio(counts),
        _ => ratio(
            counts.requests - counts.errors.min(counts.requests),
            seconds,
        ),
    };
    (value, counts.requests)
}

fn latency_of(bucket: &Bucket, slo: &Slo) -> Coarse {
    let mut sum = Coarse::default();
    for (class, of) in &bucket.classes {
        if class.is_of(slo.class.as_deref()) {
            sum.merge(match slo.phase {
                Some(Phase::FirstByte) => &of.first_byte,
                _ => &of.last_byte,
            });
        }
    }
    sum
}

fn per_minute(count: u64, played_us: u64) -> Option<f64> {
    ratio(count, played_us).map(|per_us| per_us * 60e6)
}

fn verdict(slo: &Slo, (measured, samples): Measured) -> SloVerdict {
    SloVerdict {
        slo: slo.clone(),
        measured,
        samples,
        met: measured.is_some_and(|value| slo.is_met_by(value)),
    }
}
