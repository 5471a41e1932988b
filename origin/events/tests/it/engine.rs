//! What the redb engine does beyond the contract: durability, retention, group commit.

use std::sync::Arc;
use std::time::Duration;

use mcsp_events::{EventError, EventLog, RedbLog, Swept};
use mcsp_runtime::ManualClock;

use crate::support::{DAY, NOW_MS, record};

#[tokio::test]
async fn everything_is_there_after_a_restart_and_generations_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.redb");
    let topics = ["t".to_owned()];
    let session = Duration::from_secs(6);
    let log = RedbLog::open(&path, ManualClock::new(NOW_MS)).unwrap();
    log.ensure_topic("t", 3, DAY).await.unwrap();
    for n in 0..50 {
        log.append(vec![record("t", &format!("k{n}"), &n.to_string())])
            .await
            .unwrap();
    }
    let before = log.describe("t").await.unwrap();
    let member = log.join("g", "m", &topics, session).await.unwrap();
    log.commit("g", "m", member.generation, "t", 1, 2)
        .await
        .unwrap();
    drop(log);

    let log = RedbLog::open(&path, ManualClock::new(NOW_MS)).unwrap();
    assert_eq!(log.describe("t").await.unwrap(), before);
    assert_eq!(log.committed("g", "t", 1).await.unwrap(), 2);
    let mut values: Vec<u32> = Vec::new();
    for partition in 0..3 {
        let records = log
            .read("t", partition, 0, 1000, Duration::ZERO)
            .await
            .unwrap();
        values.extend(
            records
                .iter()
                .map(|r| String::from_utf8_lossy(&r.value).parse::<u32>().unwrap()),
        );
    }
    values.sort_unstable();
    assert_eq!(values, (0..50).collect::<Vec<_>>());
    assert!(matches!(
        log.heartbeat("g", "m").await,
        Err(EventError::Fenced { .. })
    ));
    let again = log.join("g", "m", &topics, session).await.unwrap();
    assert!(again.generation > member.generation);
    let stale = log.commit("g", "m", member.generation, "t", 1, 1).await;
    assert!(matches!(stale, Err(EventError::Fenced { .. })), "{stale:?}");
}

#[tokio::test]
async fn retention_removes_the_oldest_in_bounded_steps() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(NOW_MS);
    let log = RedbLog::open(&dir.path().join("events.redb"), clock.clone()).unwrap();
    log.ensure_topic("short", 1, DAY).await.unwrap();
    log.ensure_topic("long", 1, DAY * 7).await.unwrap();
    for n in 0..10 {
        let value = n.to_string();
        log.append(vec![
            record("short", "k", &value),
            record("long", "k", &value),
        ])
        .await
        .unwrap();
    }
    clock.advance(DAY + Duration::from_secs(1));
    log.append(vec![record("short", "k", "10")]).await.unwrap();
    assert_eq!(
        log.sweep(4).await.unwrap(),
        Swept {
            removed: 4,
            more: true
        }
    );
    let read = log.read("short", 0, 0, 1, Duration::ZERO).await.unwrap();
    assert_eq!(read[0].position.offset, 4);
    assert_eq!(
        log.sweep(100).await.unwrap(),
        Swept {
            removed: 6,
            more: false
        }
    );
    assert_eq!(
        log.sweep(100).await.unwrap(),
        Swept {
            removed: 0,
            more: false
        }
    );
    let states = (
        log.describe("short").await.unwrap()[0],
        log.describe("long").await.unwrap()[0],
    );
    assert_eq!((states.0.first_offset, states.0.next_offset), (10, 11));
    assert_eq!((states.1.first_offset, states.1.next_offset), (0, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_appends_at_once_all_get_their_own_offset() {
    let dir = tempfile::tempdir().unwrap();
    let log =
        Arc::new(RedbLog::open(&dir.path().join("events.redb"), ManualClock::new(NOW_MS)).unwrap());
    log.ensure_topic("t", 1, DAY).await.unwrap();
    let appends: Vec<_> = (0..400)
        .map(|n| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let positions = log
                    .append(vec![record("t", "k", &n.to_string())])
                    .await
                    .unwrap();
                (positions[0].offset, n.to_string())
            })
        })
        .collect();
    let mut acknowledged = Vec::new();
    for append in appends {
        acknowledged.push(append.await.unwrap());
    }
    acknowledged.sort();
    let records = log.read("t", 0, 0, 1000, Duration::ZERO).await.unwrap();
    let held: Vec<_> = records
        .iter()
        .map(|r| {
            (
                r.position.offset,
                String::from_utf8_lossy(&r.value).into_owned(),
            )
        })
        .collect();
    assert_eq!(held, acknowledged);
}

#[tokio::test]
async fn a_read_is_bounded_by_bytes_too() {
    let dir = tempfile::tempdir().unwrap();
    let log = RedbLog::open(&dir.path().join("events.redb"), ManualClock::new(NOW_MS)).unwrap();
    log.ensure_topic("t", 1, DAY).await.unwrap();
    let megabyte = "x".repeat(1024 * 1024);
    for _ in 0..6 {
        log.append(vec![record("t", "k", &megabyte)]).await.unwrap();
    }
    let read = log.read("t", 0, 0, 100, Duration::ZERO).await.unwrap();
    assert!((1..6).contains(&read.len()), "{}", read.len());
}

#[test]
fn a_file_that_is_no_log_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.redb");
    std::fs::write(&path, vec![b'x'; 10_000]).unwrap();
    assert!(RedbLog::open(&path, ManualClock::new(NOW_MS)).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), vec![b'x'; 10_000]);
}
