//! What the stages did, for operators.

use std::sync::OnceLock;
use std::time::Duration;

use mcsp_media_transcode::PassResult;
use mcsp_telemetry::registry;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts};

use crate::stage::{Done, StageError};

/// Upper bounds, seconds: from a manifest to a film.
const BUCKETS_S: [f64; 12] = [
    0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0,
];

/// How a run of a stage ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    NotMine,
    Refused,
    Failed,
    Away,
}

impl Outcome {
    pub(crate) fn of(result: &Result<Done, StageError>) -> Self {
        match result {
            Ok(Done::Events(_)) => Self::Done,
            Ok(Done::NotMine) => Self::NotMine,
            Err(StageError::Refused { .. }) => Self::Refused,
            Err(StageError::Retry(_)) => Self::Failed,
            Err(StageError::Away(_)) => Self::Away,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NotMine => "not_mine",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Away => "away",
        }
    }
}

struct Metrics {
    runs: IntCounterVec,
    durations: HistogramVec,
    child_cpu_ms: IntCounterVec,
    damaged_frames: IntCounterVec,
}

fn metrics() -> Option<&'static Metrics> {
    static METRICS: OnceLock<Option<Metrics>> = OnceLock::new();
    METRICS.get_or_init(|| register().ok()).as_ref()
}

fn register() -> Result<Metrics, prometheus::Error> {
    let counter =
        |name: &str, help: &str, label: &[&str]| -> Result<IntCounterVec, prometheus::Error> {
            let counter = IntCounterVec::new(Opts::new(name, help), label)?;
            registry().register(Box::new(counter.clone()))?;
            Ok(counter)
        };
    let durations = HistogramVec::new(
        HistogramOpts::new("mcsp_media_stage_duration_seconds", "One run of a stage.")
            .buckets(BUCKETS_S.to_vec()),
        &["stage"],
    )?;
    registry().register(Box::new(durations.clone()))?;
    Ok(Metrics {
        runs: counter(
            "mcsp_media_stage_runs_total",
            "Runs of stages by how they ended.",
            &["stage", "outcome"],
        )?,
        durations,
        child_cpu_ms: counter(
            "mcsp_media_child_cpu_milliseconds_total",
            "Processor time of children.",
            &["pass"],
        )?,
        damaged_frames: counter(
            "mcsp_media_damaged_frames_total",
            "What decoders complained of.",
            &["medium"],
        )?,
    })
}

/// A run of a stage ended.
pub(crate) fn stage(name: &str, outcome: Outcome, took: Duration) {
    let Some(metrics) = metrics() else { return };
    metrics
        .runs
        .with_label_values(&[name, outcome.label()])
        .inc();
    if outcome == Outcome::Done {
        metrics
            .durations
            .with_label_values(&[name])
            .observe(took.as_secs_f64());
    }
}

/// A pass ended.
pub(crate) fn pass(name: &str, result: &PassResult) {
    let Some(metrics) = metrics() else { return };
    metrics
        .child_cpu_ms
        .with_label_values(&[name])
        .inc_by(result.cpu_ms);
    for (medium, stream) in [
        ("video", &result.report.video),
        ("audio", &result.report.audio),
    ] {
        if let Some(stream) = stream {
            metrics
                .damaged_frames
                .with_label_values(&[medium])
                .inc_by(stream.damaged);
        }
    }
}
