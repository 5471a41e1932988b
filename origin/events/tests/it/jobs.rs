//! Jobs: long work, heartbeats, rebalances, stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mcsp_db::{Db, Tx};
use mcsp_events::consumer::{Consumer, HandleError, Job};
use mcsp_events::{Record, SharedEventLog, partition_of};
use mcsp_runtime::ShutdownTrigger;
use tokio::sync::Notify;

use crate::consumer::{FAST, Run, SESSION_MS, TOPIC, options, pair, stop};
use crate::support::{DAY, effects, effects_db, event, eventually, live_log, payload, put_effect};

/// Work that takes until it is let go.
struct Slow {
    begun: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
    release: Arc<Notify>,
    together: Arc<AtomicUsize>,
    together_max: Arc<AtomicUsize>,
}

/// Counts work that was dropped before its end.
struct Guard(Arc<AtomicUsize>, Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Slow {
    fn new() -> Self {
        Self {
            begun: Arc::default(),
            dropped: Arc::default(),
            release: Arc::default(),
            together: Arc::default(),
            together_max: Arc::default(),
        }
    }

    fn shared(&self) -> Self {
        Self {
            begun: Arc::clone(&self.begun),
            dropped: Arc::clone(&self.dropped),
            release: Arc::clone(&self.release),
            together: Arc::clone(&self.together),
            together_max: Arc::clone(&self.together_max),
        }
    }
}

#[async_trait]
impl Job for Slow {
    const GROUP: &'static str = "slow";
    type Effect = String;

    fn topics(&self) -> Vec<String> {
        vec![TOPIC.to_owned()]
    }

    async fn work(&self, record: &Record) -> Result<String, HandleError> {
        // Made before anybody can see that the work has begun, so that no release is missed.
        let released = self.release.notified();
        self.begun.fetch_add(1, Ordering::SeqCst);
        let together = self.together.fetch_add(1, Ordering::SeqCst) + 1;
        self.together_max.fetch_max(together, Ordering::SeqCst);
        let _guard = Guard(Arc::clone(&self.dropped), Arc::clone(&self.together));
        released.await;
        Ok(payload(&record.value))
    }

    async fn apply(&self, record: &Record, effect: String, tx: &mut Tx) -> Result<(), HandleError> {
        Ok(put_effect(tx, &record.key, &effect).await?)
    }
}

fn start_job(
    log: &SharedEventLog,
    db: &Db,
    member: &str,
    job: Slow,
    parallel: usize,
) -> (ShutdownTrigger, Run) {
    let consumer = Consumer::new(Arc::clone(log), db.clone(), Slow::GROUP, member, FAST)
        .with_options(options())
        .parallel_max(parallel);
    let (trigger, shutdown) = ShutdownTrigger::new();
    (trigger, tokio::spawn(consumer.run_job(job, shutdown)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_job_keeps_its_session_and_its_partition() {
    let (log, _dir) = live_log();
    log.ensure_topic(TOPIC, 1, DAY).await.unwrap();
    let db = effects_db("sqlite::memory:").await;
    log.append(vec![event(TOPIC, "k", 1, "long")])
        .await
        .unwrap();
    let job = Slow::new();
    let (trigger, run) = start_job(&log, &db, "m", job.shared(), 1);
    eventually("begun", || async { job.begun.load(Ordering::SeqCst) == 1 }).await;
    // Asked once a session would be over, so that it is the member's own heartbeats that keep it alive.
    tokio::time::sleep(Duration::from_millis(SESSION_MS + 500)).await;
    assert_eq!(
        log.heartbeat("slow", "m").await.unwrap().partitions.len(),
        1
    );
    job.release.notify_waiters();
    eventually("the effect", || async { effects(&db).await.len() == 1 }).await;
    assert_eq!(job.begun.load(Ordering::SeqCst), 1);
    stop(trigger, run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_run_side_by_side_up_to_the_bound() {
    let (log, _dir) = live_log();
    log.ensure_topic(TOPIC, 16, DAY).await.unwrap();
    let db = effects_db("sqlite::memory:").await;
    for n in 0..40 {
        log.append(vec![event(TOPIC, &format!("k{n}"), n, &n.to_string())])
            .await
            .unwrap();
    }
    let job = Slow::new();
    let (trigger, run) = start_job(&log, &db, "m", job.shared(), 3);
    eventually("three at once", || async {
        job.together.load(Ordering::SeqCst) == 3
    })
    .await;
    eventually("all done", || async {
        job.release.notify_waiters();
        effects(&db).await.len() == 40
    })
    .await;
    assert_eq!(job.together_max.load(Ordering::SeqCst), 3);
    stop(trigger, run).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_moves_takes_its_work_along_and_the_effect_is_there_once() {
    let (log, _dir) = live_log();
    log.ensure_topic(TOPIC, 2, DAY).await.unwrap();
    let db = effects_db("sqlite::memory:").await;
    // One key in each partition.
    let keys: Vec<String> = (0..2)
        .map(|p| {
            (0..)
                .map(|i| format!("k{i}"))
                .find(|k| partition_of(k, 2) == p)
                .unwrap()
        })
        .collect();
    for (seed, key) in keys.iter().enumerate() {
        log.append(vec![event(TOPIC, key, seed as u64, key)])
            .await
            .unwrap();
    }
    let (first, second) = (Slow::new(), Slow::new());
    let (trigger_a, run_a) = start_job(&log, &db, "a", first.shared(), 4);
    eventually("both begun", || async {
        first.begun.load(Ordering::SeqCst) == 2
    })
    .await;
    let (trigger_b, run_b) = start_job(&log, &db, "b", second.shared(), 4);
    eventually("one moved", || async {
        second.begun.load(Ordering::SeqCst) == 1
    })
    .await;
    eventually("one was dropped", || async {
        first.dropped.load(Ordering::SeqCst) == 1
    })
    .await;
    first.release.notify_waiters();
    second.release.notify_waiters();
    eventually("both effects", || async { effects(&db).await.len() == 2 }).await;
    stop(trigger_a, run_a).await;
    stop(trigger_b, run_b).await;
    assert_eq!(effects(&db).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_finishes_what_was_begun_and_gives_up_its_partitions_at_once() {
    let (log, _dir) = live_log();
    log.ensure_topic(TOPIC, 1, DAY).await.unwrap();
    let db = effects_db("sqlite::memory:").await;
    log.append(vec![
        event(TOPIC, "k", 1, "begun"),
        event(TOPIC, "k", 2, "not begun"),
    ])
    .await
    .unwrap();
    let job = Slow::new();
    let (trigger, run) = start_job(&log, &db, "m", job.shared(), 1);
    eventually("begun", || async { job.begun.load(Ordering::SeqCst) == 1 }).await;
    trigger.trigger();
    job.release.notify_waiters();
    tokio::time::timeout(Duration::from_secs(60), run)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(effects(&db).await, [pair("k", "begun")]);
    assert_eq!(log.committed("slow", TOPIC, 0).await.unwrap(), 1);
    let next = log
        .join("slow", "next", &[TOPIC.to_owned()], Duration::from_secs(1))
        .await
        .unwrap();
    assert_eq!(next.partitions.len(), 1);
}

/// Work that never succeeds, and says so to whoever waits.
struct Hopeless;

#[async_trait]
impl Job for Hopeless {
    const GROUP: &'static str = "hopeless";
    type Effect = ();

    fn topics(&self) -> Vec<String> {
        vec![TOPIC.to_owned()]
    }

    async fn work(&self, _record: &Record) -> Result<(), HandleError> {
        Err(HandleError::Poison("cannot be used".to_owned()))
    }

    async fn apply(&self, _record: &Record, _effect: (), _tx: &mut Tx) -> Result<(), HandleError> {
        Ok(())
    }

    async fn give_up(
        &self,
        record: &Record,
        error: &HandleError,
        tx: &mut Tx,
    ) -> Result<(), HandleError> {
        Ok(put_effect(tx, &record.key, &error.to_string()).await?)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_a_dead_letter_is_told() {
    let (log, _dir) = live_log();
    log.ensure_topic(TOPIC, 1, DAY).await.unwrap();
    // The first calls fail, as they do while a database is away.
    let db = effects_db("faulty:sqlite::memory:?seed=4&error_rate=0.5").await;
    log.append(vec![event(TOPIC, "k", 1, "x")]).await.unwrap();
    let consumer = Consumer::new(Arc::clone(&log), db.clone(), Hopeless::GROUP, "m", FAST)
        .with_options(options());
    let (trigger, shutdown) = ShutdownTrigger::new();
    let run = tokio::spawn(consumer.run_job(Hopeless, shutdown));
    let committed = || async { log.committed(Hopeless::GROUP, TOPIC, 0).await.unwrap() == 1 };
    eventually("the partition moved on", committed).await;
    stop(trigger, run).await;
    eventually("it was told", || async {
        effects(&db).await == [pair("k", "cannot be used")]
    })
    .await;
    assert_eq!(log.describe("t.dlq").await.unwrap()[0].next_offset, 1);
}
