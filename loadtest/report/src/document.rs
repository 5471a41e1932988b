//! A run as JSON: what is kept, and beside it what other programs would have to derive.

use std::collections::BTreeMap;

use mcsp_loadtest_measure::{CacheSource, Results, VerdictKind, hit_ratio};
use serde::Serialize;

use crate::recorded::{Recorded, RecordedError};
use crate::steps::{Step, Steps, last_byte, quantile_ms, ratio};
use crate::words::{headline, margin, measure_name};

/// Steps of the series: each bucket of the timeline, of which there are no more than that.
const STEPS_MAX: u64 = 3_600;

/// The run as JSON, to be kept and read again by [`Recorded::from_json`]. Beside what is kept it has `summary` and `series`, for other
/// programs; they are derived again from the rest when it is read.
///
/// # Errors
/// None for a run that [`Recorded::new`] gave.
pub fn json(recorded: &Recorded) -> Result<String, RecordedError> {
    let results = &recorded.results;
    let document = Document {
        recorded,
        summary: summary(results),
        series: series(results),
    };
    Ok(serde_json::to_string(&document)?)
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    recorded: &'a Recorded,
    summary: Summary<'a>,
    series: Vec<Point>,
}

/// The run in a few numbers, without the warm-up.
#[derive(Serialize)]
struct Summary<'a> {
    verdict: VerdictKind,
    exit_status: u8,
    headline: String,
    slo: Vec<Line<'a>>,
    sessions: u64,
    sessions_failed: u64,
    startup_p50_ms: Option<f64>,
    startup_p95_ms: Option<f64>,
    rebuffer_ratio: Option<f64>,
    bitrate_kbit_s: Option<f64>,
    requests: u64,
    errors: u64,
    hit_ratio: Option<f64>,
    bytes: u64,
    findings: BTreeMap<&'static str, u64>,
    lag_p99_ms: Option<f64>,
}

/// An SLO: what was asked, what was measured, by how much.
#[derive(Serialize)]
struct Line<'a> {
    name: &'a str,
    measure: String,
    at_most: Option<f64>,
    at_least: Option<f64>,
    measured: Option<f64>,
    met: bool,
    margin: String,
}

/// A second, or a bucket of a long run, the warm-up included.
#[derive(Serialize)]
struct Point {
    at_s: f64,
    length_s: f64,
    users: u64,
    arrivals_per_s: f64,
    startup_p50_ms: Option<f64>,
    startup_p95_ms: Option<f64>,
    rebuffer_ratio: Option<f64>,
    bitrate_kbit_s: Option<f64>,
    requests_per_s: f64,
    errors_per_s: f64,
    errors: BTreeMap<&'static str, u64>,
    latency_p50_ms: Option<f64>,
    latency_p99_ms: Option<f64>,
    hit_ratio: Option<f64>,
    bit_s: f64,
    source_bytes: BTreeMap<&'static str, u64>,
    lag_p99_ms: Option<f64>,
}

fn summary(results: &Results) -> Summary<'_> {
    let seen = &results.seen;
    let sessions = &seen.sessions;
    let counts = seen.counts_of(None);
    let ms = |us: Option<u64>| us.map(|us| us as f64 / 1e3);
    let findings = seen.findings.iter();
    Summary {
        verdict: results.verdict.kind,
        exit_status: results.verdict.kind.exit_status(),
        headline: headline(results),
        slo: results.slo.iter().map(line).collect(),
        sessions: sessions.sessions,
        sessions_failed: sessions.failed,
        startup_p50_ms: ms(sessions.startup.quantile_us(0.5)),
        startup_p95_ms: ms(sessions.startup.quantile_us(0.95)),
        rebuffer_ratio: sessions.rebuffer_ratio(),
        bitrate_kbit_s: sessions.bitrate_kbit_s(),
        requests: counts.requests,
        errors: counts.errors,
        hit_ratio: hit_ratio(&counts),
        bytes: counts.bytes,
        findings: findings
            .map(|(kind, of_kind)| (kind.name(), of_kind.count))
            .collect(),
        lag_p99_ms: ms(seen.lag.quantile_us(0.99)),
    }
}

fn line(verdict: &mcsp_loadtest_measure::SloVerdict) -> Line<'_> {
    Line {
        name: &verdict.slo.name,
        measure: measure_name(&verdict.slo),
        at_most: verdict.slo.at_most,
        at_least: verdict.slo.at_least,
        measured: verdict.measured,
        met: verdict.met,
        margin: margin(verdict).replace('\u{a0}', " "),
    }
}

fn series(results: &Results) -> Vec<Point> {
    let steps = Steps::new(results, STEPS_MAX);
    steps.list.iter().map(point).collect()
}

fn point(step: &Step) -> Point {
    let bucket = &step.bucket;
    let counts = bucket.counts_of(None);
    let latency = last_byte(bucket, |_| true);
    let errors = counts
        .outcomes
        .iter()
        .filter(|(outcome, _)| outcome.is_error());
    Point {
        at_s: step.from_s,
        length_s: step.length_s,
        users: step.users,
        arrivals_per_s: step.per_s(bucket.arrivals),
        startup_p50_ms: quantile_ms(&bucket.startup, 0.5),
        startup_p95_ms: quantile_ms(&bucket.startup, 0.95),
        rebuffer_ratio: ratio(bucket.stalled_us, bucket.stalled_us + bucket.played_us),
        bitrate_kbit_s: ratio(bucket.media_bits, bucket.played_us).map(|mbit_s| mbit_s * 1e3),
        requests_per_s: step.per_s(counts.requests),
        errors_per_s: step.per_s(counts.errors),
        errors: errors
            .map(|(outcome, count)| (outcome.name(), *count))
            .collect(),
        latency_p50_ms: quantile_ms(&latency, 0.5),
        latency_p99_ms: quantile_ms(&latency, 0.99),
        hit_ratio: hit_ratio(&counts),
        bit_s: step.per_s(counts.bytes) * 8.0,
        source_bytes: CacheSource::ALL
            .iter()
            .zip(counts.source_bytes)
            .map(|(source, bytes)| (source.name(), bytes))
            .collect(),
        lag_p99_ms: quantile_ms(&bucket.lag, 0.99),
    }
}
