//! Plays a scenario's chaos steps at their times.

use std::collections::BTreeMap;
use std::sync::Arc;

use mcsp_loadtest_scenario::{Action, AllowList, Scenario, Step};
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep_until};

use crate::error::ChaosError;
use crate::node::Target;
use crate::proxy::{FaultProxy, ProxySettings};

/// What happened to a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turn {
    /// It is done.
    Began,
    /// It is undone.
    Ended,
    /// It could not be done or undone, and why.
    Failed(String),
}

/// Something that the recorder is told while it happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChaosEvent {
    /// Which of the scenario's steps, from 0.
    pub step: usize,
    /// When, µs after the start.
    pub at_us: u64,
    /// What.
    pub turn: Turn,
}

/// A step that was played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepRecord {
    /// Which of the scenario's steps, from 0.
    pub step: usize,
    /// When it was done, µs after the start.
    pub from_us: u64,
    /// When it was undone.
    pub until_us: u64,
    /// Why it could not be done or undone; none: it was.
    pub error: Option<String>,
}

/// Has everything that the steps need, and plays them. Dropping it (or the future of [`Conductor::play`]) undoes what is on.
#[derive(Debug)]
pub struct Conductor {
    targets: Arc<BTreeMap<String, Target>>,
    steps: Arc<[Step]>,
}

impl Conductor {
    /// Opens the nodes' proxies (of those without steps too: they carry everything as it is) and sees whether every step can be
    /// done. Nothing is harmed yet; a clock that an earlier run left skewed is set right.
    ///
    /// # Errors
    /// The first thing that cannot be had: a process that is not there or may not be touched, an address that is not admitted, a
    /// port that is taken, a disk too large to fill, a process without a clock of its own; steps of one kind that overlap on a node.
    pub async fn prepare(scenario: &Scenario, allow: &AllowList) -> Result<Self, ChaosError> {
        refuse_overlaps(&scenario.chaos)?;
        let mut targets = BTreeMap::new();
        for (number, node) in (0_u64..).zip(&scenario.nodes) {
            let steps: Vec<&Step> = scenario
                .chaos
                .iter()
                .filter(|step| step.target == node.name)
                .collect();
            let settings = ProxySettings {
                seed: scenario.seed.wrapping_add(number),
                ..ProxySettings::default()
            };
            let target = Target::prepare(node, &steps, allow, &settings).await?;
            targets.insert(node.name.clone(), target);
        }
        if let Some(step) = scenario
            .chaos
            .iter()
            .find(|step| !targets.contains_key(&step.target))
        {
            return Err(ChaosError::unavailable(
                format!("chaos.target = {:?}", step.target),
                "expected the name of one of nodes",
            ));
        }
        Ok(Self {
            targets: Arc::new(targets),
            steps: scenario.chaos.as_slice().into(),
        })
    }

    /// The proxy of a node, for its address and counts.
    #[must_use]
    pub fn proxy(&self, node: &str) -> Option<&FaultProxy> {
        self.targets.get(node).and_then(Target::proxy)
    }

    /// All proxies by their nodes' names.
    pub fn proxies(&self) -> impl Iterator<Item = (&str, &FaultProxy)> {
        self.targets
            .iter()
            .filter_map(|(name, target)| target.proxy().map(|proxy| (name.as_str(), proxy)))
    }

    /// Plays all steps, counted from `start`, until the last is undone or `stop` becomes true (or its sender is dropped): then what
    /// is on is undone at once and what is to come is left out. `events` that find no room are left out; the records are whole.
    pub async fn play(
        &self,
        start: Instant,
        stop: watch::Receiver<bool>,
        events: mpsc::Sender<ChaosEvent>,
    ) -> Vec<StepRecord> {
        let mut tasks = JoinSet::new();
        for index in 0..self.steps.len() {
            let player = Player {
                targets: Arc::clone(&self.targets),
                steps: Arc::clone(&self.steps),
                index,
                start,
                stop: stop.clone(),
                events: events.clone(),
            };
            tasks.spawn(player.play());
        }
        let mut records: Vec<StepRecord> = Vec::new();
        while let Some(played) = tasks.join_next().await {
            records.extend(played.ok().flatten());
        }
        records.sort_by_key(|record| record.step);
        records
    }
}

/// Plays one step.
struct Player {
    targets: Arc<BTreeMap<String, Target>>,
    steps: Arc<[Step]>,
    index: usize,
    start: Instant,
    stop: watch::Receiver<bool>,
    events: mpsc::Sender<ChaosEvent>,
}

impl Player {
    async fn play(mut self) -> Option<StepRecord> {
        let steps = Arc::clone(&self.steps);
        let targets = Arc::clone(&self.targets);
        let step = steps.get(self.index)?;
        let target = targets.get(&step.target)?;
        let begin = self.start + Duration::from_secs(step.at_s);
        if self.waits(begin).await {
            return None;
        }
        let from_us = self.now_us();
        let mut harm = match target.harm(self.index, step) {
            Ok(harm) => harm,
            Err(error) => return Some(self.record(from_us, Some(error))),
        };
        self.tell(from_us, Turn::Began);
        let mut error = None;
        let end = begin + Duration::from_secs(step.for_s);
        loop {
            let next = harm
                .keep_up_every()
                .map_or(end, |every| (Instant::now() + every).min(end));
            if self.waits(next).await || Instant::now() >= end {
                break;
            }
            error = harm.keep_up().err().or(error);
        }
        error = harm.undo().err().or(error);
        Some(self.record(from_us, error))
    }

    /// Whether it is stopped before then.
    async fn waits(&mut self, until: Instant) -> bool {
        tokio::select! {
            // Who asks for a stop at the very moment is heard.
            biased;
            _ = self.stop.wait_for(|stop| *stop) => true,
            () = sleep_until(until) => false,
        }
    }

    fn record(&self, from_us: u64, error: Option<ChaosError>) -> StepRecord {
        let until_us = self.now_us();
        let error = error.map(|error| error.to_string());
        self.tell(until_us, error.clone().map_or(Turn::Ended, Turn::Failed));
        StepRecord {
            step: self.index,
            from_us,
            until_us,
            error,
        }
    }

    fn tell(&self, at_us: u64, turn: Turn) {
        let event = ChaosEvent {
            step: self.index,
            at_us,
            turn,
        };
        // Whoever does not listen misses nothing of the records.
        let _ = self.events.try_send(event);
    }

    fn now_us(&self) -> u64 {
        let since = Instant::now().saturating_duration_since(self.start);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

/// What of a node a step takes for itself; none: network faults go together.
fn kind(action: Action) -> Option<&'static str> {
    match action {
        Action::Stop | Action::Kill | Action::Freeze => Some("process"),
        Action::FillDisk => Some("disk"),
        Action::ClockSkew => Some("clock"),
        _ => None,
    }
}

/// Two steps that both stop a node would undo each other's work.
fn refuse_overlaps(steps: &[Step]) -> Result<(), ChaosError> {
    for (index, step) in steps.iter().enumerate() {
        let Some(of) = kind(step.action) else {
            continue;
        };
        let end_s = step.at_s.saturating_add(step.for_s);
        let overlaps = |(_, other): &(usize, &Step)| {
            let is_same = other.target == step.target && kind(other.action) == Some(of);
            is_same && other.at_s <= end_s && step.at_s <= other.at_s.saturating_add(other.for_s)
        };
        if let Some((other, _)) = steps.iter().enumerate().skip(index + 1).find(overlaps) {
            return Err(ChaosError::unavailable(
                format!("chaos[{index}] and chaos[{other}]"),
                format!(
                    "both hold the {of} of {:?} at the same time; expected one after the other",
                    step.target
                ),
            ));
        }
    }
    Ok(())
}
