//! The queue, and who takes from it when.

use std::collections::{HashSet, VecDeque};
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use mcsp_runtime::Shutdown;
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::PrefetchConfig;
use crate::metrics::PrefetchMetrics;

/// What became of an object that was fetched ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the cache now; so many bytes were fetched.
    Stored(u64),
    /// The answer may not be stored, or is none that is worth it.
    NotStored,
    /// There was no answer, or not the whole of one.
    Failed,
}

/// Who does the fetching, and knows what the cache holds.
pub trait Work: Send + Sync + 'static {
    /// An object to fetch, with all that it takes to do so. Two that are equal are the same object.
    type Job: Clone + Eq + Hash + Send + Sync + 'static;

    /// Is it worth fetching: neither held, nor being filled, nor purged since it was offered? Asked when it is offered,
    /// and again just before it is fetched.
    fn wants(&self, job: &Self::Job) -> bool;

    /// Is there room that no viewer needs? Asked before each object.
    fn may_run(&self) -> bool;

    /// Fetches it, to its end. Dropped when it takes too long or the node stops.
    fn run(&self, job: Self::Job) -> impl Future<Output = Outcome> + Send;
}

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// It waits for its turn.
    Queued,
    /// It waits or is being fetched already.
    Known,
    /// [`Work::wants`] says no.
    Unwanted,
    /// Nothing is fetched ahead on this node.
    Disabled,
}

/// Takes offers from requests, which it never holds up, and fetches what is worth it one after the other.
#[derive(Debug)]
pub struct Prefetcher<W: Work> {
    work: W,
    config: PrefetchConfig,
    metrics: PrefetchMetrics,
    queue: Mutex<Queue<W::Job>>,
    wake: Notify,
}

#[derive(Debug)]
struct Queue<J> {
    waiting: VecDeque<(J, Instant)>,
    /// Waiting or running.
    known: HashSet<J>,
}

impl<W: Work> Prefetcher<W> {
    /// A prefetcher that does nothing until [`Prefetcher::run`] does.
    ///
    /// # Errors
    /// When `registry` has a prefetcher's metrics already.
    pub fn new(
        work: W,
        config: PrefetchConfig,
        registry: &Registry,
    ) -> Result<Arc<Self>, prometheus::Error> {
        Ok(Arc::new(Self {
            work,
            config,
            metrics: PrefetchMetrics::register(registry)?,
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                known: HashSet::new(),
            }),
            wake: Notify::new(),
        }))
    }

    /// The work that it was made with.
    pub fn work(&self) -> &W {
        &self.work
    }

    /// Its configuration.
    pub fn config(&self) -> &PrefetchConfig {
        &self.config
    }

    /// Offers an object that is likely to be asked for. Does not wait. With too many waiting, the one that waits longest
    /// is given up for it.
    pub fn offer(&self, job: W::Job) -> Offered {
        let (offered, label) = self.enqueue(job);
        self.metrics.offered(label);
        if offered == Offered::Queued {
            self.wake.notify_one();
        }
        offered
    }

    fn enqueue(&self, job: W::Job) -> (Offered, &'static str) {
        if !self.config.enabled {
            return (Offered::Disabled, "disabled");
        }
        if !self.work.wants(&job) {
            return (Offered::Unwanted, "unwanted");
        }
        let mut queue = self.queue.lock();
        if !queue.known.insert(job.clone()) {
            return (Offered::Known, "known");
        }
        if queue.waiting.len() >= self.config.waiting_max
            && let Some((oldest, _)) = queue.waiting.pop_front()
        {
            queue.known.remove(&oldest);
            self.metrics.done("displaced");
        }
        queue.waiting.push_back((job, Instant::now()));
        self.count_waiting(&queue);
        (Offered::Queued, "queued")
    }

    /// Counts an object that [`Work::wants`] would say no to, for callers who know before they make a job of it.
    pub fn unwanted(&self) {
        self.metrics.unwanted.inc();
    }

    /// Gives up what waits and `is_gone`, such as purged. What is being fetched is left to the cache's own rule, that a
    /// fill which began before a purge is not admitted.
    pub fn forget(&self, is_gone: impl Fn(&W::Job) -> bool) {
        let mut queue = self.queue.lock();
        let Queue { waiting, known } = &mut *queue;
        waiting.retain(|(job, _)| {
            let goes = is_gone(job);
            if goes {
                known.remove(job);
                self.metrics.done("forgotten");
            }
            !goes
        });
        self.count_waiting(&queue);
    }

    /// There may be room again: looks now instead of a little later.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// A viewer asked for an object that was fetched ahead.
    pub fn used(&self) {
        self.metrics.used.inc();
    }

    /// Fetches what is offered until `stop`; what is being fetched then is given up.
    pub async fn run(self: Arc<Self>, stop: Shutdown) {
        let mut running = JoinSet::new();
        let recheck = Duration::from_millis(self.config.recheck_ms);
        while !stop.is_triggered() {
            while running.len() < self.config.running_max
                && self.is_any_waiting()
                && self.work.may_run()
            {
                let Some(started) = Started::next(&self) else {
                    break;
                };
                running.spawn(started.finish());
            }
            // Something waits though it could run: it is viewers that it waits for.
            let gives_way = running.len() < self.config.running_max && self.is_any_waiting();
            tokio::select! {
                () = stop.wait() => break,
                () = self.wake.notified() => {}
                Some(_) = running.join_next() => {}
                () = tokio::time::sleep(recheck), if gives_way => {}
            }
        }
        running.shutdown().await;
    }

    fn is_any_waiting(&self) -> bool {
        !self.queue.lock().waiting.is_empty()
    }

    fn count_waiting(&self, queue: &Queue<W::Job>) {
        let count = i64::try_from(queue.waiting.len()).unwrap_or(i64::MAX);
        self.metrics.waiting.set(count);
    }
}

/// An object whose turn has come; no longer known when dropped, however it ends.
struct Started<W: Work> {
    prefetcher: Arc<Prefetcher<W>>,
    job: W::Job,
}

impl<W: Work> Started<W> {
    /// The first that waits, is not too late and is still wanted.
    fn next(prefetcher: &Arc<Prefetcher<W>>) -> Option<Self> {
        let patience = Duration::from_millis(prefetcher.config.wait_ms_max);
        loop {
            let (job, since) = {
                let mut queue = prefetcher.queue.lock();
                let first = queue.waiting.pop_front();
                prefetcher.count_waiting(&queue);
                first?
            };
            prefetcher.metrics.running.inc();
            let started = Self {
                prefetcher: Arc::clone(prefetcher),
                job,
            };
            if since.elapsed() > patience {
                prefetcher.metrics.done("late");
            } else if prefetcher.work.wants(&started.job) {
                return Some(started);
            } else {
                prefetcher.metrics.done("unwanted");
            }
        }
    }

    async fn finish(self) {
        let prefetcher = &self.prefetcher;
        let limit = Duration::from_millis(prefetcher.config.run_timeout_ms);
        let work = prefetcher.work.run(self.job.clone());
        let label = match tokio::time::timeout(limit, work).await {
            Ok(Outcome::Stored(bytes)) => {
                prefetcher.metrics.bytes.inc_by(bytes);
                "stored"
            }
            Ok(Outcome::NotStored) => "not_stored",
            Ok(Outcome::Failed) => "failed",
            Err(_) => "timeout",
        };
        prefetcher.metrics.done(label);
    }
}

impl<W: Work> Drop for Started<W> {
    fn drop(&mut self) {
        self.prefetcher.queue.lock().known.remove(&self.job);
        self.prefetcher.metrics.running.dec();
    }
}

#[cfg(test)]
mod tests;
