//! What a live view shows at one moment.

use mcsp_loadtest_measure::{Bucket, Coarse, FindingKind, Partial, hit_ratio};
use mcsp_loadtest_scenario::Scenario;

/// Rates and quantiles are of so many whole seconds before now: long enough not to flicker.
const WINDOW_S: u64 = 5;
/// Workers tell what they saw once a second: what is younger may not all be told, and would look like a dip.
const TOLD_AFTER_S: u64 = 1;
/// Seconds of latency that are kept for the curve.
const HISTORY_MAX: usize = 600;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Stage {
    /// Workers are told, references are fetched, nodes' proxies open.
    #[default]
    Preparing,
    /// Users arrive, and do not count yet.
    WarmUp,
    /// Users arrive.
    Running,
    /// No more users arrive; those that are there finish.
    Draining,
}

impl Stage {
    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::WarmUp => "warm-up",
            Self::Running => "running",
            Self::Draining => "draining",
        }
    }
}

/// A worker at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LiveWorker {
    /// Its address, or its number.
    pub name: String,
    /// Its users now.
    pub users: u64,
    /// How late it started users lately, p99, ms; none: it started none.
    pub lag_p99_ms: Option<f64>,
    /// How it was lost; none: it is there.
    pub lost: Option<String>,
}

/// Where a chaos step is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChaosState {
    /// It begins in so many seconds.
    Ahead(u64),
    /// It is on, for so many seconds more.
    On(u64),
    /// It was undone.
    Over,
    /// It could not be done, and why.
    Failed(String),
}

/// A chaos step at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveChaos {
    /// `kill edge-1`.
    pub what: String,
    /// Where it is.
    pub state: ChaosState,
}

/// What was found so far, of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveFinding {
    /// What kind.
    pub kind: FindingKind,
    /// How often.
    pub count: u64,
    /// The first object, and what was wrong with it.
    pub example: String,
}

/// A run at one moment. What is `None` was not measured lately.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LiveFrame {
    /// The scenario's name.
    pub scenario: String,
    /// Where the run is.
    pub stage: Stage,
    /// Since the run's start, s.
    pub elapsed_s: f64,
    /// How long users arrive, s.
    pub duration_s: f64,
    /// Users now.
    pub users: u64,
    /// Users that came, per second.
    pub arrivals_per_s: f64,
    /// Users that could not start since the worker was full, in all.
    pub missed: u64,
    /// Start-up time's median, ms.
    pub startup_p50_ms: Option<f64>,
    /// And p95, ms.
    pub startup_p95_ms: Option<f64>,
    /// Time stalled over time stalled and played.
    pub rebuffer_ratio: Option<f64>,
    /// Mean bitrate of what is played, kbit/s.
    pub bitrate_kbit_s: Option<f64>,
    /// Requests that ended, per second.
    pub requests_per_s: f64,
    /// Of them, those that failed.
    pub errors_per_s: f64,
    /// Requests in all.
    pub requests: u64,
    /// Errors in all.
    pub errors: u64,
    /// Bodies' bits per second.
    pub bit_s: f64,
    /// Media answers without the origin over media answers.
    pub hit_ratio: Option<f64>,
    /// Latency to the last byte, median, ms.
    pub latency_p50_ms: Option<f64>,
    /// And p99, ms.
    pub latency_p99_ms: Option<f64>,
    /// Latency's p99 by second, ms; the newest last, 600 at most.
    pub latency_history_ms: Vec<Option<f64>>,
    /// Workers, in order.
    pub workers: Vec<LiveWorker>,
    /// Chaos steps, in order.
    pub chaos: Vec<LiveChaos>,
    /// What was found so far.
    pub findings: Vec<LiveFinding>,
}

impl LiveFrame {
    /// Of what was seen so far, `now_us` after the run's start. Workers are left to the caller; chaos steps are taken to be on time
    /// until [`LiveFrame::chaos_failed`] says otherwise.
    #[must_use]
    pub fn new(scenario: &Scenario, seen: &Partial, now_us: u64) -> Self {
        let now_s = now_us / 1_000_000;
        let bucket_s = seen.timeline.bucket_s().max(1);
        let told_s = now_s.saturating_sub(TOLD_AFTER_S);
        let until_us = told_s / bucket_s * bucket_s * 1_000_000;
        let window_us = WINDOW_S.max(bucket_s) * 1_000_000;
        let from_us = until_us.saturating_sub(window_us);
        let lately = seen.timeline.sum(from_us..until_us.max(1));
        let seconds = ((until_us - from_us.min(until_us)) as f64 / 1e6).max(1.0);
        let counts = lately.counts_of(None);
        let total = total(seen, now_us);
        let latency = last_byte(&lately);
        let history = history(seen, until_us, bucket_s);
        let quantile_ms = |values: &Coarse, quantile| values.quantile(quantile).map(|us| us / 1e3);
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        Self {
            scenario: scenario.name.clone(),
            stage: stage(scenario, now_us),
            elapsed_s: now_us as f64 / 1e6,
            duration_s: scenario.duration_s as f64,
            users: total.arrivals.saturating_sub(total.departures),
            arrivals_per_s: lately.arrivals as f64 / seconds,
            missed: total.missed,
            startup_p50_ms: quantile_ms(&lately.startup, 0.5),
            startup_p95_ms: quantile_ms(&lately.startup, 0.95),
            rebuffer_ratio: share(lately.stalled_us, lately.stalled_us + lately.played_us),
            bitrate_kbit_s: share(lately.media_bits, lately.played_us).map(|mbit_s| mbit_s * 1e3),
            requests_per_s: counts.requests as f64 / seconds,
            errors_per_s: counts.errors as f64 / seconds,
            requests: total.requests,
            errors: total.errors,
            bit_s: counts.bytes as f64 * 8.0 / seconds,
            hit_ratio: hit_ratio(&counts),
            latency_p50_ms: quantile_ms(&latency, 0.5),
            latency_p99_ms: quantile_ms(&latency, 0.99),
            latency_history_ms: history,
            workers: Vec::new(),
            chaos: chaos(scenario, now_s),
            findings: findings(seen),
        }
    }

    /// Says that a step of the scenario could not be done or undone, and why.
    pub fn chaos_failed(&mut self, step: usize, why: &str) {
        if let Some(chaos) = self.chaos.get_mut(step) {
            chaos.state = ChaosState::Failed(why.to_owned());
        }
    }

    /// The share of the run that is over, 0 to 1.
    #[must_use]
    pub fn progress(&self) -> f64 {
        let progress = self.elapsed_s / self.duration_s;
        if progress.is_finite() {
            progress.clamp(0.0, 1.0)
        } else {
            0.0
        }
    }
}

#[derive(Default)]
struct Total {
    arrivals: u64,
    departures: u64,
    missed: u64,
    requests: u64,
    errors: u64,
}

/// From the start until now, the warm-up included.
fn total(seen: &Partial, now_us: u64) -> Total {
    let mut total = Total::default();
    for (_, bucket) in seen.timeline.within(0..now_us.saturating_add(1)) {
        total.arrivals += bucket.arrivals;
        total.departures += bucket.departures;
        total.missed += bucket.missed;
        for class in bucket.classes.values() {
            total.requests += class.counts.requests;
            total.errors += class.counts.errors;
        }
    }
    total
}

fn last_byte(bucket: &Bucket) -> Coarse {
    let mut sum = Coarse::default();
    for class in bucket.classes.values() {
        sum.merge(&class.last_byte);
    }
    sum
}

fn history(seen: &Partial, until_us: u64, bucket_s: u64) -> Vec<Option<f64>> {
    let length_us = bucket_s * 1_000_000;
    let count = usize::try_from(until_us / length_us).unwrap_or(HISTORY_MAX);
    let count = count.min(HISTORY_MAX);
    let from_us = until_us.saturating_sub(count as u64 * length_us);
    let mut history = vec![None; count];
    for (at_us, bucket) in seen.timeline.within(from_us..until_us) {
        let index = usize::try_from((at_us - from_us) / length_us).unwrap_or(usize::MAX);
        if let Some(place) = history.get_mut(index) {
            *place = last_byte(bucket).quantile(0.99).map(|us| us / 1e3);
        }
    }
    history
}

fn stage(scenario: &Scenario, now_us: u64) -> Stage {
    if now_us < scenario.warm_up_us() {
        Stage::WarmUp
    } else if now_us < scenario.duration_us() {
        Stage::Running
    } else {
        Stage::Draining
    }
}

fn chaos(scenario: &Scenario, now_s: u64) -> Vec<LiveChaos> {
    let live = |step: &mcsp_loadtest_scenario::Step| {
        let end_s = step.at_s.saturating_add(step.for_s);
        let state = if now_s < step.at_s {
            ChaosState::Ahead(step.at_s - now_s)
        } else if now_s < end_s {
            ChaosState::On(end_s - now_s)
        } else {
            ChaosState::Over
        };
        LiveChaos {
            what: format!("{} {}", step.action.name(), step.target),
            state,
        }
    };
    scenario.chaos.iter().map(live).collect()
}

fn findings(seen: &Partial) -> Vec<LiveFinding> {
    let live = |(kind, of_kind): (FindingKind, &mcsp_loadtest_measure::OfKind)| {
        let first = of_kind
            .objects
            .iter()
            .min_by_key(|(_, entry)| entry.first_us);
        LiveFinding {
            kind,
            count: of_kind.count,
            example: first.map_or(String::new(), |(object, entry)| {
                format!("{object}: {}", entry.detail)
            }),
        }
    };
    seen.findings.iter().map(live).collect()
}
