//! Adds up what those who run users tell, and shows it while it comes.

use std::time::Duration;

use mcsp_loadtest_chaos::{ChaosEvent, Turn};
use mcsp_loadtest_measure::Partial;
use mcsp_loadtest_report::{LiveFrame, LiveWorker};
use mcsp_loadtest_scenario::Scenario;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use crate::show::{Show, Wish};
use crate::told::{Telling, Told};

/// Four times a second, so that who presses a key does not wait.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long those who run users have to tell the last, once they were told to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// How long after the last user should have left those who are still silent are given up.
const END_PATIENCE: Duration = Duration::from_secs(30);
/// Users that a worker started lately: its seconds before now, by which its lag is told.
const LATELY_US: u64 = 5_000_000;

/// Who runs users.
#[derive(Debug)]
struct Worker {
    name: String,
    is_over: bool,
    lost: Option<String>,
    /// Only for several workers: of one, it is the sum.
    seen: Partial,
}

/// All that came.
#[derive(Debug)]
pub(crate) struct Gathered {
    pub(crate) seen: Partial,
    pub(crate) lost: Vec<String>,
    pub(crate) stopped_early: Option<String>,
    pub(crate) took: Duration,
}

/// What gathering goes by.
pub(crate) struct Gathering<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) start: Instant,
    /// The names of those who tell, by number.
    pub(crate) names: Vec<String>,
    pub(crate) tellings: mpsc::Receiver<Telling>,
    pub(crate) chaos: mpsc::Receiver<ChaosEvent>,
    /// Set to true when the person wants an end.
    pub(crate) stop: &'a watch::Sender<bool>,
}

impl Gathering<'_> {
    /// Gathers until all are over, or the person wants an end.
    pub(crate) async fn gather(mut self, show: &mut Show) -> Gathered {
        let worker = |name: String| Worker {
            name,
            is_over: false,
            lost: None,
            seen: Partial::default(),
        };
        let names = std::mem::take(&mut self.names);
        let mut workers: Vec<Worker> = names.into_iter().map(worker).collect();
        let keeps_each = workers.len() > 1;
        let mut seen = Partial::default();
        let mut failed: Vec<(usize, String)> = Vec::new();
        let mut stopped_early = None;
        let run_ms = self.scenario.duration_s.saturating_mul(1_000) + self.scenario.tool.drain_ms;
        let mut until = self.start + Duration::from_millis(run_ms) + END_PATIENCE;
        let mut looking = tokio::time::interval(LOOK_EVERY);
        looking.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while workers.iter().any(|worker| !worker.is_over) {
            tokio::select! {
                told = self.tellings.recv() => match told {
                    Some((number, told)) => {
                        if let Some(worker) = workers.get_mut(number) {
                            worker.told(told, keeps_each, &mut seen);
                        }
                    }
                    // All are gone without a word.
                    None => break,
                },
                Some(event) = self.chaos.recv() => {
                    if let Turn::Failed(why) = event.turn {
                        failed.push((event.step, why));
                    }
                }
                _ = looking.tick() => {
                    let mut frame = self.frame(&seen, &workers);
                    for (step, why) in &failed {
                        frame.chaos_failed(*step, why);
                    }
                    if show.update(&frame) == Wish::Stop && stopped_early.is_none() {
                        stopped_early = Some(format!(
                            "interrupted after {:.0} s",
                            self.start.elapsed().as_secs_f64()
                        ));
                        self.stop.send_replace(true);
                        until = Instant::now() + STOP_PATIENCE;
                    }
                }
                () = tokio::time::sleep_until(until) => break,
            }
        }
        for worker in workers.iter_mut().filter(|worker| !worker.is_over) {
            worker.lost = Some("it did not tell the last that it saw".to_owned());
        }
        let lost = workers
            .iter()
            .filter_map(|worker| Some(format!("{}: {}", worker.name, worker.lost.as_ref()?)));
        Gathered {
            lost: lost.collect(),
            seen,
            stopped_early,
            took: self.start.elapsed(),
        }
    }

    fn frame(&self, seen: &Partial, workers: &[Worker]) -> LiveFrame {
        let now_us = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut frame = LiveFrame::new(self.scenario, seen, now_us);
        let only = workers.len() == 1;
        frame.workers = workers
            .iter()
            .map(|worker| worker.live(if only { seen } else { &worker.seen }, now_us))
            .collect();
        frame
    }
}

impl Worker {
    fn told(&mut self, told: Told, keeps_each: bool, seen: &mut Partial) {
        match told {
            Told::Partial(partial) => {
                seen.merge(&partial);
                if keeps_each {
                    self.keep(&partial);
                }
            }
            Told::Done => self.is_over = true,
            Told::Lost(why) => {
                self.is_over = true;
                self.lost = Some(why);
            }
        }
    }

    /// Of each of several, only when who came and went: what is shown of it.
    fn keep(&mut self, partial: &Partial) {
        for (at_us, bucket) in partial.timeline.iter() {
            let own = self.seen.timeline.at(at_us);
            own.arrivals += bucket.arrivals;
            own.departures += bucket.departures;
            own.lag.merge(&bucket.lag);
        }
    }

    fn live(&self, seen: &Partial, now_us: u64) -> LiveWorker {
        let buckets = seen.timeline.iter();
        let users = buckets.fold(0_i64, |users, (_, bucket)| {
            users + i64::try_from(bucket.arrivals).unwrap_or(0)
                - i64::try_from(bucket.departures).unwrap_or(0)
        });
        let lately = seen
            .timeline
            .sum(now_us.saturating_sub(LATELY_US)..now_us.max(1));
        LiveWorker {
            name: self.name.clone(),
            users: u64::try_from(users).unwrap_or(0),
            lag_p99_ms: lately.lag.quantile(0.99).map(|us| us / 1e3),
            lost: self.lost.clone(),
        }
    }
}
