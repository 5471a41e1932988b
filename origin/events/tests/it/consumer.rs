//! Consumers: exactly once, in order, with retries, dead letters and rebalances.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use mcsp_db::{Db, Tx};
use mcsp_events::consumer::{
    Consumer, ConsumerError, ConsumerOptions, HEADER_ATTEMPTS, HEADER_ERROR, HEADER_SOURCE_OFFSET,
    HEADER_SOURCE_TOPIC, HandleError, Handler, Job, RetryPolicy,
};
use mcsp_events::{Record, SharedEventLog};
use mcsp_runtime::{Shutdown, ShutdownTrigger};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::support::{
    DAY, effects, effects_db, event, eventually, live_log, payload, put_effect, record,
};

const TOPIC: &str = "t";
const FAST: RetryPolicy = RetryPolicy {
    tries: 3,
    base_ms: 1,
    max_ms: 5,
};

fn options() -> ConsumerOptions {
    ConsumerOptions {
        session_timeout_ms: 600,
        heartbeat_ms: 30,
        drain_ms: 5_000,
        ..ConsumerOptions::default()
    }
}

/// Writes every event's payload down; fails as told by the payload.
#[derive(Default)]
struct Writer {
    attempts: Arc<Mutex<HashMap<String, u32>>>,
}

#[async_trait]
impl Handler for Writer {
    const GROUP: &'static str = "writer";

    fn topics(&self) -> Vec<String> {
        vec![TOPIC.to_owned()]
    }

    async fn handle(&self, record: &Record, tx: &mut Tx) -> Result<(), HandleError> {
        let payload = payload(&record.value);
        let attempt = {
            let mut attempts = self.attempts.lock();
            let attempt = attempts.entry(payload.clone()).or_default();
            *attempt += 1;
            *attempt
        };
        put_effect(tx, &record.key, &payload).await?;
        match payload.split('-').next() {
            Some("twice") if attempt < 3 => Err(HandleError::Retry("not yet".to_owned())),
            Some("never") => Err(HandleError::Retry("never works".to_owned())),
            Some("poison") => Err(HandleError::Poison("cannot be used".to_owned())),
            Some("away") if attempt < 20 => {
                Err(HandleError::Away("what it needs is away".to_owned()))
            }
            Some("panic") if attempt < 2 => panic!("a handler that panics"),
            _ => Ok(()),
        }
    }
}

fn start<H: Handler>(
    log: &SharedEventLog,
    db: &Db,
    member: &str,
    handler: H,
) -> (ShutdownTrigger, Run) {
    let consumer =
        Consumer::new(Arc::clone(log), db.clone(), H::GROUP, member, FAST).with_options(options());
    let (trigger, shutdown) = ShutdownTrigger::new();
    (trigger, tokio::spawn(consumer.run(handler, shutdown)))
}

type Run = JoinHandle<Result<(), ConsumerError>>;

async fn stop(trigger: ShutdownTrigger, run: Run) {
    trigger.trigger();
    tokio::time::timeout(Duration::from_secs(20), run)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

fn pair(key: &str, payload: &str) -> (String, String) {
    (key.to_owned(), payload.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_delivered_twice_acts_once() {
    let (log, _dir) = live_log();
    log.ensure_topic(TOPIC, 2, DAY).await.unwrap();
    let db = effects_db("sqlite::memory:").await;
    log.append(vec![
        event(TOPIC, "a", 1, "one"),
        event(TOPIC, "a", 1, "one"),
        event(TOPIC, "b", 2, "two"),
    ])
    .await
    .unwrap();
    let (trigger, run) = start(&log, &db, "m", Writer::default());
    log.append(vec![
        event(TOPIC, "a", 1, "one"),
        event(TOPIC, "a", 3, "three"),
    ])
    .await
    .unwrap();
    eventually("three effects", || async { effects(&db).await.len() == 3 }).await;
    stop(trigger, run).await;
    // Another process, with nothing committed lost: it has nothing to do.
    let handler = Writer::default();
    let attempts = Arc::clone(&handler.attempts);
    let (trigger, run) = start(&log, &db, "m2", handler);
    log.append(vec![event(TOPIC, "b", 4, "four")])
        .await
        .unwrap();
    eventually("the fourth", || async {
        effects(&db).await.contains(&pair("b", "four"))
    })
    .await;
    stop(trigger, run).await;
    assert_eq!(effects(&db).await.len(), 4);
    assert_eq!(
        attempts.lock().keys().cloned().collect::<Vec<_>>(),
        ["four"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_tried_again_and_then_buried_and_hold_up_only_their_partition() {
    let (log, _dir) = live_log();
    log.ensure_topic(TOPIC, 1, DAY).await.unwrap();
    let db = effects_db("sqlite::memory:").await;
    let payloads = [
        "twice-1", "never-1", "poison-1", "away-1", "panic-1", "last",
    ];
    for (seed, payload) in payloads.iter().enumerate() {
        log.append(vec![event(TOPIC, "k", seed as u64, payload)])
            .await
            .unwrap();
    }
    log.append(vec![record(TOPIC, "k", "not an envelope")])
        .await
        .unwrap();
    let handler = Writer::default();
    let attempts = Arc::clone(&handler.attempts);
    let (trigger, run) = start(&log, &db, "m", handler);
    let buried = || async {
        match log.describe("t.dlq").await {
            Ok(states) => states[0].next_offset == 3,
            Err(_) => false,
        }
    };
    eventually("three dead letters", buried).await;
    eventually("progress is committed", || async {
        log.committed("writer", TOPIC, 0).await.unwrap() == 7
    })
    .await;
    stop(trigger, run).await;
    let expected: Vec<_> = ["twice-1", "away-1", "panic-1", "last"]
        .iter()
        .map(|p| pair("k", p))
        .collect();
    assert_eq!(effects(&db).await, expected);
    let tries: Vec<_> = payloads.iter().map(|p| attempts.lock()[*p]).collect();
    assert_eq!(tries, [3, 3, 1, 20, 2, 1]);

    let letters = log.read("t.dlq", 0, 0, 10, Duration::ZERO).await.unwrap();
    let header = |index: usize, name: &str| letters[index].headers[name].clone();
    assert_eq!(payload(&letters[0].value), "never-1");
    assert_eq!(
        (header(0, HEADER_ATTEMPTS), header(0, HEADER_ERROR)),
        ("3".to_owned(), "never works".to_owned())
    );
    assert_eq!(
        (
            header(0, HEADER_SOURCE_TOPIC),
            header(0, HEADER_SOURCE_OFFSET)
        ),
        ("t".to_owned(), "1".to_owned())
    );
    assert_eq!(
        (
            payload(&letters[1].value).as_str(),
            header(1, HEADER_ATTEMPTS).as_str()
        ),
        ("poison-1", "1")
    );
    assert!(
        header(2, HEADER_ERROR).contains("not an envelope"),
        "{}",
        header(2, HEADER_ERROR)
    );
}

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
        self.begun.fetch_add(1, Ordering::SeqCst);
        let together = self.together.fetch_add(1, Ordering::SeqCst) + 1;
        self.together_max.fetch_max(together, Ordering::SeqCst);
        let _guard = Guard(Arc::clone(&self.dropped), Arc::clone(&self.together));
        self.release.notified().await;
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
    // Asked less often than a session lasts, so that it is the member's own heartbeats that keep it alive.
    let until = tokio::time::Instant::now() + Duration::from_millis(1800);
    while tokio::time::Instant::now() < until {
        assert_eq!(
            log.heartbeat("slow", "m").await.unwrap().partitions.len(),
            1
        );
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
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
                .find(|k| mcsp_events::partition_of(k, 2) == p)
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
    tokio::time::timeout(Duration::from_secs(20), run)
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

#[tokio::test]
async fn what_cannot_start_says_why() {
    let (log, _dir) = live_log();
    let db = effects_db("sqlite::memory:").await;
    let (_trigger, shutdown): (_, Shutdown) = ShutdownTrigger::new();
    let bad = ConsumerOptions {
        heartbeat_ms: 5_000,
        ..ConsumerOptions::default()
    };
    let consumer = Consumer::new(log, db, "writer", "m", FAST).with_options(bad);
    let error = consumer.run(Writer::default(), shutdown).await.unwrap_err();
    assert!(error.to_string().contains("heartbeat_ms = 5000"), "{error}");
}
