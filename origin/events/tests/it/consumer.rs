//! Consumers: exactly once, in order, with retries, dead letters and rebalances.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mcsp_db::{Db, Tx};
use mcsp_events::consumer::{
    Consumer, ConsumerError, ConsumerOptions, HEADER_ATTEMPTS, HEADER_ERROR, HEADER_SOURCE_OFFSET,
    HEADER_SOURCE_TOPIC, HandleError, Handler, RetryPolicy,
};
use mcsp_events::{Record, SharedEventLog};
use mcsp_runtime::{ManualClock, SeededEntropy, SharedClock, Shutdown, ShutdownTrigger};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::support::{
    DAY, NOW_MS, effects, effects_db, event, eventually, live_log, payload, put_effect, record,
};

pub(crate) const TOPIC: &str = "t";
pub(crate) const FAST: RetryPolicy = RetryPolicy {
    tries: 3,
    base_ms: 1,
    max_ms: 5,
};

/// How long a member may say nothing.
pub(crate) const SESSION_MS: u64 = 3_000;

pub(crate) fn options() -> ConsumerOptions {
    ConsumerOptions {
        // A busy machine may stand still for a while; who does is no dead member.
        session_timeout_ms: SESSION_MS,
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

pub(crate) type Run = JoinHandle<Result<(), ConsumerError>>;

pub(crate) async fn stop(trigger: ShutdownTrigger, run: Run) {
    trigger.trigger();
    tokio::time::timeout(Duration::from_secs(60), run)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

pub(crate) fn pair(key: &str, payload: &str) -> (String, String) {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_are_forgotten_once_the_log_cannot_hold_their_events() {
    let (log, _dir) = live_log();
    log.ensure_topic(TOPIC, 1, DAY).await.unwrap();
    let db = effects_db("sqlite::memory:").await;
    let clock = ManualClock::new(NOW_MS);
    let run = |seed: u64, log: SharedEventLog, clock: SharedClock, db: Db| async move {
        log.append(vec![event(TOPIC, "k", seed, &seed.to_string())])
            .await
            .unwrap();
        let consumer = Consumer::new(Arc::clone(&log), db.clone(), Writer::GROUP, "m", FAST)
            .with_options(options())
            .with_inputs(clock, SeededEntropy::new(1));
        let (trigger, shutdown) = ShutdownTrigger::new();
        let running = tokio::spawn(consumer.run(Writer::default(), shutdown));
        eventually("its effect", || async {
            effects(&db).await.len() as u64 == seed
        })
        .await;
        (trigger, running)
    };
    let known = || async {
        let mut connection = db.acquire().await.unwrap();
        let rows: Vec<(i64,)> =
            sqlx::query_as("SELECT consumed_ms FROM consumed_events ORDER BY consumed_ms")
                .fetch_all(connection.conn())
                .await
                .unwrap();
        rows.into_iter()
            .map(|(consumed_ms,)| consumed_ms)
            .collect::<Vec<_>>()
    };
    let (trigger, running) = run(1, Arc::clone(&log), clock.clone(), db.clone()).await;
    stop(trigger, running).await;
    assert_eq!(known().await, [NOW_MS]);
    // A topic that is not listed is taken to be held for 90 days.
    clock.advance(DAY * 89);
    let (trigger, running) = run(2, Arc::clone(&log), clock.clone(), db.clone()).await;
    stop(trigger, running).await;
    let later_ms = NOW_MS + 89 * 86_400_000;
    assert_eq!(known().await, [NOW_MS, later_ms]);
    clock.advance(DAY * 3);
    let (trigger, running) = run(3, Arc::clone(&log), clock.clone(), db.clone()).await;
    eventually("the first is forgotten", || async {
        !known().await.contains(&NOW_MS)
    })
    .await;
    stop(trigger, running).await;
    assert_eq!(known().await, [later_ms, later_ms + 3 * 86_400_000]);
}
