//! Killed at any moment, the log keeps everything it acknowledged.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mcsp_events::{EventLog, RedbLog};
use mcsp_runtime::{Entropy, SeededEntropy, SystemClock};

use crate::support::{DAY, record};

const CHILD_PATH: &str = "MCSP_EVENTS_KILL_PATH";
const TOPIC: &str = "t";

/// Not a test by itself: the process that the test below kills. Several tasks append at once and each prints
/// `partition offset value` once an append was acknowledged.
#[test]
fn child_that_appends_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD_PATH) else {
        return;
    };
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
                    let line = format!(
                        "ack {} {} {value}\n",
                        appended[0].partition, appended[0].offset
                    );
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
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

/// Starts a child, kills it after it acknowledged `enough`, returns all that it acknowledged.
fn append_and_kill(path: &std::path::Path, enough: usize) -> Vec<(u32, u64, String)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "kill::child_that_appends_until_it_is_killed",
            "--nocapture",
        ])
        .env(CHILD_PATH, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines {
        // A line that the kill cut off was not read by anyone as an acknowledgement.
        let Ok(line) = line else { break };
        let words: Vec<&str> = line
            .split_whitespace()
            .skip_while(|word| *word != "ack")
            .collect();
        if let ["ack", partition, offset, value] = words[..]
            && value.ends_with(&format!(".{}", child.id()))
        {
            acknowledged.push((
                partition.parse().unwrap(),
                offset.parse().unwrap(),
                value.to_owned(),
            ));
        }
        if acknowledged.len() == enough {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    acknowledged
}
