//! What nodes use of their machines while they are loaded: by their metrics, and by `/proc` of those that run here.

mod metrics;
mod process;

use std::sync::Arc;
use std::time::Duration;

use mcsp_loadtest_measure::{NodeSample, NodeSeries};
use mcsp_loadtest_scenario::{AllowList, HttpVersion, Node, Scenario};
use mcsp_loadtest_wire::{Client, Limits, Link, Network, Request, RunClock};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::LoadError;
use metrics::Metrics;
use process::{Process, Usage};

/// How often a node is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How long it may take to answer: one that is busy is slow, and not gone.
const PATIENCE: Duration = Duration::from_secs(3);
/// Of an answer, what is read, bytes.
const BODY_BYTES_MAX: usize = 4 << 20;
/// Samples of a node; with more, every other one is left out, and it is looked at half as often.
const SAMPLES_MAX: usize = 7_200;

/// Watches the scenario's nodes until `stop` becomes true.
#[derive(Debug)]
pub(crate) struct Scraping {
    tasks: JoinSet<(usize, NodeSeries)>,
    stop: watch::Sender<bool>,
}

impl Scraping {
    /// Begins; samples tell their moment after `start`.
    ///
    /// # Errors
    /// When the file with authorities cannot be used.
    pub(crate) fn begin(
        scenario: &Scenario,
        allow: &AllowList,
        start: Instant,
    ) -> Result<Self, LoadError> {
        let limits = Limits {
            connect_timeout: PATIENCE,
            read_timeout: PATIENCE,
            ..Limits::default()
        };
        let network = Network::new(
            RunClock::starting_at(start),
            limits,
            allow.clone(),
            scenario.targets.resolve.clone(),
            scenario.targets.ca_file.as_deref(),
        )?;
        let network = Arc::new(network);
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for (index, node) in scenario.nodes.iter().enumerate() {
            let watcher = Watcher {
                node: node.clone(),
                client: Client::new(
                    Arc::clone(&network),
                    HttpVersion::H1,
                    None,
                    Link::unbounded(),
                ),
                start,
                before: None,
            };
            let stopped = stopped.clone();
            tasks.spawn(async move { (index, watcher.watch(stopped).await) });
        }
        Ok(Self { tasks, stop })
    }

    /// Ends; what was seen, in the scenario's order.
    pub(crate) async fn end(mut self) -> Vec<NodeSeries> {
        self.stop.send_replace(true);
        let mut series = Vec::new();
        while let Some(watched) = self.tasks.join_next().await {
            series.extend(watched.ok());
        }
        series.sort_by_key(|(index, _)| *index);
        series.into_iter().map(|(_, of)| of).collect()
    }
}

/// Watches one node.
struct Watcher {
    node: Node,
    client: Client,
    start: Instant,
    /// What was counted the last time, and when.
    before: Option<(Instant, Usage)>,
}

impl Watcher {
    async fn watch(mut self, mut stop: watch::Receiver<bool>) -> NodeSeries {
        let mut series = NodeSeries {
            name: self.node.name.clone(),
            samples: Vec::new(),
        };
        let mut every = EVERY;
        let mut next = self.start;
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return series,
                () = tokio::time::sleep_until(next) => {}
            }
            series.samples.push(self.look().await);
            if series.samples.len() >= SAMPLES_MAX {
                let mut index = 0;
                series.samples.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
                every *= 2;
            }
            // Moments that are over while a node hangs are left out.
            next = (next + every).max(Instant::now());
        }
    }

    async fn look(&mut self) -> NodeSample {
        let at_us = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let told = self.metrics().await;
        let local = self.node.pid_file.as_deref().and_then(Process::of_pid_file);
        let is_up = match (&self.node.metrics_url, &local) {
            (Some(_), _) => told.is_some(),
            (None, local) => local.is_some(),
        };
        let told = told.unwrap_or_default();
        // The kernel knows better than the process, which may be another after a restart.
        let usage = local.map_or_else(
            || told.usage.clone(),
            |process| process.usage().or(&told.usage),
        );
        let now = Instant::now();
        let before = self.before.replace((now, usage.clone()));
        let rate = |count: fn(&Usage) -> Option<f64>| {
            let (then, before) = before.as_ref()?;
            let seconds = now.saturating_duration_since(*then).as_secs_f64();
            let grown = count(&usage)? - count(before)?;
            // A counter that went back is that of another process.
            (seconds > 0.0 && grown >= 0.0).then(|| grown / seconds)
        };
        NodeSample {
            at_us,
            is_up,
            cpu_cores: rate(|usage| usage.cpu_s),
            memory_bytes: usage.memory_bytes,
            receive_bytes_s: rate(|usage| usage.received_bytes),
            send_bytes_s: rate(|usage| usage.sent_bytes),
            connections: usage.connections,
        }
    }

    async fn metrics(&mut self) -> Option<Metrics> {
        let url = self.node.metrics_url.clone()?;
        let mut body = Vec::new();
        let request = Request {
            deadline: Some(Instant::now() + PATIENCE),
            ..Request::get(&url, &[])
        };
        let answer = self
            .client
            .send(&request, &mut |part| {
                if body.len() + part.len() <= BODY_BYTES_MAX {
                    body.extend_from_slice(part);
                }
            })
            .await
            .ok()?;
        (answer.status == 200).then(|| Metrics::parse(&String::from_utf8_lossy(&body)))
    }
}
