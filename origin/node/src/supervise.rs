//! Background work: started again when it ends, ever more slowly while it keeps ending.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::BoxFuture;
use mcsp_runtime::Shutdown;
use mcsp_telemetry::registry;
use prometheus::{IntCounterVec, Opts};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Work that ran for so long was well: the next failure is a first one again.
const WELL_AFTER: Duration = Duration::from_secs(60);

type Work = Arc<dyn Fn(Shutdown) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// A piece of work that goes on until shutdown. It must be safe to begin again at any time.
#[derive(Clone)]
pub struct BackgroundTask {
    name: String,
    work: Work,
}

impl BackgroundTask {
    /// Work called `name` in logs and metrics.
    pub fn new<F, W, E>(name: impl Into<String>, work: F) -> Self
    where
        F: Fn(Shutdown) -> W + Send + Sync + 'static,
        W: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        Self {
            name: name.into(),
            work: Arc::new(move |shutdown| {
                let running = work(shutdown);
                Box::pin(async move { running.await.map_err(|error| error.to_string()) })
            }),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    async fn supervise(self, shutdown: Shutdown) {
        let mut backoff = BACKOFF_FIRST;
        loop {
            let began = Instant::now();
            // In a task of its own, so that a panic ends it and nothing else.
            let running = AbortOnDropHandle::new(tokio::spawn((self.work)(shutdown.clone())));
            let reason = match running.await {
                Ok(Ok(())) => "it ended by itself".to_owned(),
                Ok(Err(error)) => error,
                Err(error) => error.to_string(),
            };
            if shutdown.is_triggered() {
                return;
            }
            if began.elapsed() >= WELL_AFTER {
                backoff = BACKOFF_FIRST;
            }
            if let Some(restarts) = restarts() {
                restarts.with_label_values(&[&self.name]).inc();
            }
            let again_in_ms = u64::try_from(backoff.as_millis()).unwrap_or(u64::MAX);
            tracing::error!(
                task = self.name,
                reason,
                again_in_ms,
                "background work ended and is begun again"
            );
            tokio::select! {
                () = shutdown.wait() => return,
                () = tokio::time::sleep(backoff) => {}
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }
}

impl fmt::Debug for BackgroundTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackgroundTask")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn restarts() -> Option<&'static IntCounterVec> {
    static RESTARTS: OnceLock<Option<IntCounterVec>> = OnceLock::new();
    let make = || {
        let opts = Opts::new(
            "mcsp_task_restarts_total",
            "Background work that ended and was begun again.",
        );
        let counter = IntCounterVec::new(opts, &["task"]).ok()?;
        registry().register(Box::new(counter.clone())).ok()?;
        Some(counter)
    };
    RESTARTS.get_or_init(make).as_ref()
}

/// The background work of a process.
#[derive(Debug)]
pub struct Tasks {
    set: JoinSet<()>,
    shutdown: Shutdown,
}

impl Tasks {
    /// None yet; what is spawned stops at `shutdown`.
    #[must_use]
    pub fn new(shutdown: Shutdown) -> Self {
        Self {
            set: JoinSet::new(),
            shutdown,
        }
    }

    /// Begins `task`.
    pub fn spawn(&mut self, task: BackgroundTask) {
        self.set.spawn(task.supervise(self.shutdown.clone()));
    }

    /// Waits until all have ended, which they do after shutdown.
    pub async fn join(&mut self) {
        while self.set.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use mcsp_runtime::ShutdownTrigger;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_fails_or_panics_is_begun_again_ever_more_slowly() {
        let (trigger, shutdown) = ShutdownTrigger::new();
        let mut tasks = Tasks::new(shutdown);
        let began = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&began);
        tasks.spawn(BackgroundTask::new("test", move |_| {
            let run = counter.fetch_add(1, Ordering::SeqCst);
            async move {
                assert!(run.is_multiple_of(2), "an odd run panics");
                Err::<(), _>("an even one fails")
            }
        }));
        // 100, 200, 400, … 6 400 ms, then every 10 s.
        tokio::time::sleep(Duration::from_millis(12_750)).await;
        assert_eq!(began.load(Ordering::SeqCst), 8);
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(began.load(Ordering::SeqCst), 10);
        trigger.trigger();
        tasks.join().await;
    }

    #[tokio::test(start_paused = true)]
    async fn at_shutdown_nothing_is_begun_again() {
        let (trigger, shutdown) = ShutdownTrigger::new();
        let mut tasks = Tasks::new(shutdown);
        let began = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&began);
        tasks.spawn(BackgroundTask::new("test", move |shutdown: Shutdown| {
            counter.fetch_add(1, Ordering::SeqCst);
            async move {
                shutdown.wait().await;
                Ok::<_, String>(())
            }
        }));
        tokio::time::sleep(Duration::from_secs(600)).await;
        trigger.trigger();
        tasks.join().await;
        assert_eq!(began.load(Ordering::SeqCst), 1);
    }
}
