//! Killed at any moment, the log keeps everything it acknowledged.

use std::sync::Arc;
use std::time::Duration;

use mcsp_events::{EventLog, RedbLog};
use mcsp_kill::{acknowledge, target, until_killed};
use mcsp_runtime::{Entropy, SeededEntropy, SystemClock};

use crate::support::{DAY, record};

const TOPIC: &str = "t";

/// Not a test by itself: the process that the test below kills. Several tasks append at once and each prints
/// `partition offset value` once an append was acknowledged.
#[test]
#[ignore = "the child process of nothing_acknowledged_is_lost_to_a_kill"]
fn child_that_appends_until_it_is_killed() {
    let Some(path) = target() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let log = Arc::new(RedbLog::open(path.as_ref(), SystemClock::shared()).unwrap());
        log.ensure_topic(TOPIC, 3, DAY).await.unwrap();
        let mut writers = Vec::new();
        for writer in 0..4 {
            let log = Arc::clone(&log);
            writers.push(tokio::spawn(async move {
                for n in 0_u64.. {
                    let value = format!("{writer}.{n}.{}", std::process::id());
                    let appended = log
                        .append(vec![record(TOPIC, &value, &value)])
                        .await
                        .unwrap();
                    let (partition, offset) = (appended[0].partition, appended[0].offset);
                    acknowledge(format_args!("{partition} {offset} {value}")).unwrap();
                }
            }));
        }
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_to_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.redb");
    let entropy = SeededEntropy::new(11);
    let mut acknowledged: Vec<(u32, u64, String)> = Vec::new();
    for _ in 0..4 {
        let enough = 20 + usize::try_from(entropy.next_u64() % 150).unwrap();
        acknowledged.extend(append_and_kill(&path, enough));
    }
    let log = RedbLog::open(&path, SystemClock::shared()).unwrap();
    assert!(acknowledged.len() >= 80);
    for (partition, offset, value) in acknowledged {
        let read = log
            .read(TOPIC, partition, offset, 1, Duration::ZERO)
            .await
            .unwrap();
        let found = read.first().map(|r| {
            (
                r.position.offset,
                String::from_utf8_lossy(&r.value).into_owned(),
            )
        });
        assert_eq!(found, Some((offset, value)));
    }
}

/// All that a child acknowledged before it was killed.
fn append_and_kill(path: &std::path::Path, enough: usize) -> Vec<(u32, u64, String)> {
    let child = "kill::child_that_appends_until_it_is_killed";
    let said = until_killed(child, path, enough).unwrap();
    let parse = |said: &String| {
        let words: Vec<&str> = said.split(' ').collect();
        let [partition, offset, value] = words[..] else {
            panic!("{said:?} is no acknowledgement");
        };
        (
            partition.parse().unwrap(),
            offset.parse().unwrap(),
            value.to_owned(),
        )
    };
    said.iter().map(parse).collect()
}
