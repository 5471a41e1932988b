//! What a load test saw, and what is to be thought of it.
//!
//! Each worker thread has a [`Recorder`] and takes a [`Partial`] from it now and then; partials add up to what one recorder
//! would have seen, exactly. A coordinator makes [`Results`] of their sum. Nothing here reads a clock: all times are µs after
//! the run's common start.

mod bucket;
mod checked;
mod coarse;
mod compare;
mod finding;
mod junit;
mod latency;
mod partial;
mod recorder;
mod results;
mod rules;
mod sample;
mod session;
mod slo;
mod statistics;
mod verdict;

pub use bucket::{Bucket, ClassBucket, Counts, Timeline};
pub use checked::{Against, Checked};
pub use coarse::Coarse;
pub use compare::{Change, CompareError, Comparison, compare};
pub use finding::{Finding, FindingEntry, FindingKind, Findings, OfKind};
pub use junit::junit;
pub use latency::{Latencies, Latency};
pub use mcsp_loadtest_scenario::Phase;
pub use partial::Partial;
pub use recorder::Recorder;
pub use results::{
    ChaosRecord, Machine, NodeSample, NodeSeries, RESULTS_SCHEMA, Results, ResultsError, Run,
    SloVerdict, Verdict, VerdictKind, Workers,
};
pub use sample::{CacheSource, Outcome, PlaybackSample, RequestClass, RequestSample};
pub use session::{SessionEnd, SessionSample, SessionTotals};
pub use slo::{evaluate, evaluate_within, hit_ratio};
