//! The outbox and its relay.

use std::sync::Arc;
use std::time::Duration;

use mcsp_db::Db;
use mcsp_events::outbox::{Outbox, OutboxRelay};
use mcsp_events::{FaultyLog, NewRecord, SharedEventLog};
use mcsp_runtime::{EngineUri, FaultPlan, ShutdownTrigger};

use crate::support::{self, DAY, eventually, record};

async fn database(uri: &str) -> Db {
    let db = Db::open(uri).await.unwrap();
    Outbox::migrate(&db).await.unwrap();
    db
}

async fn add(db: &Db, record: NewRecord) {
    let mut tx = db.begin().await.unwrap();
    Outbox::add(&mut tx, record).await.unwrap();
    tx.commit().await.unwrap();
}

async fn values(log: &SharedEventLog, topic: &str) -> Vec<String> {
    let records = log.read(topic, 0, 0, 1000, Duration::ZERO).await.unwrap();
    records
        .iter()
        .map(|r| String::from_utf8_lossy(&r.value).into_owned())
        .collect()
}

#[tokio::test]
async fn what_was_committed_arrives_in_order_and_what_was_not_does_not() {
    let (log, _clock, _dir) = support::log();
    log.ensure_topic("t", 1, DAY).await.unwrap();
    let db = database("sqlite::memory:").await;
    for n in 0..250 {
        let mut new = record("t", "k", &n.to_string());
        new.headers.insert("traceparent".to_owned(), "x".to_owned());
        add(&db, new).await;
        let mut tx = db.begin().await.unwrap();
        Outbox::add(&mut tx, record("t", "k", "rolled back"))
            .await
            .unwrap();
        drop(tx);
    }
    let relay = OutboxRelay::new(db, Arc::clone(&log), "test");
    while relay.step().await.unwrap() > 0 {}
    let expected: Vec<_> = (0..250).map(|n| n.to_string()).collect();
    assert_eq!(values(&log, "t").await, expected);
    let first = log.read("t", 0, 0, 1, Duration::ZERO).await.unwrap();
    assert_eq!(
        first[0].headers.get("traceparent").map(String::as_str),
        Some("x")
    );
}

#[tokio::test]
async fn it_keeps_trying_while_the_log_and_the_database_fail_and_keeps_the_order() {
    let (log, _clock, _dir) = support::log();
    log.ensure_topic("t", 1, DAY).await.unwrap();
    let uri = EngineUri::parse("faulty:redb:/x?seed=5&error_rate=0.3&lost_ack_rate=0.3").unwrap();
    let (plan, _) = FaultPlan::split(&uri).unwrap();
    let faulty: SharedEventLog = Arc::new(FaultyLog::new(Arc::clone(&log), plan));
    let db = database("faulty:sqlite::memory:?seed=6&error_rate=0.1&lost_ack_rate=0.1").await;
    let relay = OutboxRelay::new(db.clone(), faulty, "test");
    let (trigger, shutdown) = ShutdownTrigger::new();
    let running = tokio::spawn(relay.run(shutdown));
    let mut added = 0;
    while added < 20 {
        let Ok(mut tx) = db.begin().await else {
            continue;
        };
        Outbox::add(&mut tx, record("t", "k", &added.to_string()))
            .await
            .unwrap();
        match tx.commit().await {
            Ok(()) => added += 1,
            // Whoever does not know whether it is there leaves it to its consumers to tell; here it counts.
            Err(error) if error.kind() == mcsp_db::DbErrorKind::CommitUnknown => added += 1,
            Err(_) => {}
        }
    }
    eventually("all arrived", || async {
        values(&log, "t").await.contains(&"19".to_owned())
    })
    .await;
    trigger.trigger();
    running.await.unwrap();
    // At least once, and in order when repetitions are left out.
    let mut seen = Vec::new();
    for value in values(&log, "t").await {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    let expected: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_row_that_the_log_refuses_for_ever_does_not_hold_up_the_rest() {
    let (log, _clock, _dir) = support::log();
    log.ensure_topic("t", 1, DAY).await.unwrap();
    let db = database("sqlite::memory:").await;
    add(&db, record("t", "k", "before")).await;
    add(&db, record("t", "k", &"x".repeat(1024 * 1024 + 1))).await;
    add(&db, record("t", "k", "after")).await;
    let relay = OutboxRelay::new(db.clone(), Arc::clone(&log), "test");
    while relay.step().await.unwrap() > 0 {}
    assert_eq!(values(&log, "t").await, ["before", "after"]);
    let mut connection = db.acquire().await.unwrap();
    let kept: (i64, String) = sqlx::query_as("SELECT sequence, reason FROM outbox_refused")
        .fetch_one(connection.conn())
        .await
        .unwrap();
    assert_eq!(kept.0, 2);
    assert!(kept.1.contains("value bytes"), "{}", kept.1);
}

#[tokio::test]
async fn a_missing_topic_is_waited_for() {
    let (log, _clock, _dir) = support::log();
    let db = database("sqlite::memory:").await;
    add(&db, record("late", "k", "v")).await;
    let relay = OutboxRelay::new(db, Arc::clone(&log), "test");
    assert!(relay.step().await.is_err());
    log.ensure_topic("late", 1, DAY).await.unwrap();
    assert_eq!(relay.step().await.unwrap(), 1);
    assert_eq!(values(&log, "late").await, ["v"]);
}
