//! What operators see of the stages.

use std::sync::LazyLock;

use mcsp_telemetry::registry;
use prometheus::{HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts};

/// Upper bounds, seconds: from a probe to a long film's ladder.
const DURATION_BUCKETS_S: [f64; 14] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0,
];

static JOBS: LazyLock<Option<IntCounterVec>> = LazyLock::new(|| {
    counters(
        "mcsp_media_jobs_total",
        "Jobs by stage and outcome: done, refused (the creator's file), failed, away, poison, given_up.",
        &["stage", "outcome"],
    )
});

static DURATIONS: LazyLock<Option<HistogramVec>> = LazyLock::new(|| {
    let opts = HistogramOpts::new(
        "mcsp_media_job_duration_seconds",
        "How long a stage's work took, whatever came of it.",
    );
    let opts = opts.buckets(DURATION_BUCKETS_S.to_vec());
    let histogram = HistogramVec::new(opts, &["stage"]).ok()?;
    registry().register(Box::new(histogram.clone())).ok()?;
    Some(histogram)
});

static CPU: LazyLock<Option<IntCounterVec>> = LazyLock::new(|| {
    counters(
        "mcsp_media_encode_cpu_milliseconds_total",
        "Processor time of passes that succeeded, by stage.",
        &["stage"],
    )
});

static RESIDENCY_REFUSED: LazyLock<Option<IntCounter>> = LazyLock::new(|| {
    counter(
        "mcsp_media_residency_refused_total",
        "Events of items that this worker must not touch: another region's, or NG outside Nigeria.",
    )
});

static PROGRESS_LOST: LazyLock<Option<IntCounter>> = LazyLock::new(|| {
    counter(
        "mcsp_media_progress_lost_total",
        "Progress reports that nobody will see: too many at once, or the log was away.",
    )
});

static SCRATCH: LazyLock<Option<IntGauge>> = LazyLock::new(|| {
    let gauge = IntGauge::new("mcsp_media_scratch_bytes", "Scratch in use or reserved.").ok()?;
    registry().register(Box::new(gauge.clone())).ok()?;
    Some(gauge)
});

/// `None` only when another part of the process took the name.
fn counter(name: &str, help: &str) -> Option<IntCounter> {
    let counter = IntCounter::new(name, help).ok()?;
    registry().register(Box::new(counter.clone())).ok()?;
    Some(counter)
}

fn counters(name: &str, help: &str, labels: &[&str]) -> Option<IntCounterVec> {
    let counters = IntCounterVec::new(Opts::new(name, help), labels).ok()?;
    registry().register(Box::new(counters.clone())).ok()?;
    Some(counters)
}

/// Counts a job, and how long it took.
pub(crate) fn job(stage: &str, outcome: &str, seconds: f64) {
    count(stage, outcome);
    if let Some(histogram) = DURATIONS.as_ref() {
        histogram.with_label_values(&[stage]).observe(seconds);
    }
}

/// Counts an outcome.
pub(crate) fn count(stage: &str, outcome: &str) {
    if let Some(counters) = JOBS.as_ref() {
        counters.with_label_values(&[stage, outcome]).inc();
    }
}

/// Adds up the processor time of a pass, milliseconds.
pub(crate) fn encode_cpu(stage: &str, cpu_ms: u64) {
    if let Some(counters) = CPU.as_ref() {
        counters.with_label_values(&[stage]).inc_by(cpu_ms);
    }
}

/// Counts an event that is not this worker's to act on.
pub(crate) fn residency_refused() {
    if let Some(counter) = RESIDENCY_REFUSED.as_ref() {
        counter.inc();
    }
}

/// Counts progress reports that were dropped.
pub(crate) fn progress_lost(reports: usize) {
    if let Some(counter) = PROGRESS_LOST.as_ref() {
        counter.inc_by(reports as u64);
    }
}

/// Says how much scratch is used.
pub(crate) fn scratch_bytes(bytes: u64) {
    if let Some(gauge) = SCRATCH.as_ref() {
        gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
