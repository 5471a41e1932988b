//! What `kill -9` leaves on the disk is whole, or not there.

use std::path::Path;

use mcsp_edge_cache::engine::{Accepted, DiskTier};
use mcsp_kill::{acknowledge, target, until_killed};

use crate::disk_support::{Found, look, open, response, slot};

const NAMES: u128 = 24;

fn name(body_id: u128) -> String {
    format!("/{}", body_id % NAMES)
}

fn total_len(body_id: u128) -> u64 {
    u64::try_from(body_id * 777_777 % (3 << 20)).unwrap()
}

/// Stores for ever, several at once, and says what was written; run by the test below as a process of its own.
#[tokio::test]
#[ignore = "the child process of nothing_wrong_is_found_after_a_kill"]
async fn writer() {
    let Some(folder) = target() else { return };
    let disk = open(Path::new(&folder)).await;
    let mut body_id = 0;
    // Goes on where an earlier run was killed.
    for number in 0..NAMES {
        if let Found::Whole(found) = look(&disk, &format!("/{number}")).await {
            body_id = body_id.max(found + 1);
        }
    }
    loop {
        for body_id in body_id..body_id + 4 {
            let (head, chunks) = response(&name(body_id), body_id, total_len(body_id));
            let accepted = disk.store(slot(&name(body_id)), head, chunks);
            assert_eq!(accepted, Accepted::Queued);
        }
        disk.settled().await;
        body_id += 4;
        acknowledge(body_id - 1).unwrap();
    }
}

#[tokio::test]
async fn nothing_wrong_is_found_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    for enough in [1, 3, 9, 14, 2] {
        let said = until_killed("disk_kill::writer", folder.path(), enough).unwrap();
        let last: u128 = said.last().unwrap().parse().unwrap();
        let disk = open(folder.path()).await;
        // `look` panics over a byte that is wrong.
        let mut found = Vec::new();
        for number in 0..NAMES {
            match look(&disk, &format!("/{number}")).await {
                Found::Whole(body_id) => found.push(body_id),
                Found::Holes(..) | Found::Nothing => {}
            }
        }
        for body_id in last.saturating_sub(3)..=last {
            let is_replaced = found
                .iter()
                .any(|found| *found > body_id && found % NAMES == body_id % NAMES);
            assert!(
                found.contains(&body_id) || is_replaced,
                "{body_id} was written and is not there: {found:?}"
            );
        }
        // It can be written to as well.
        let (head, chunks) = response("/after", 1 << 64, 1 << 20);
        assert_eq!(disk.store(slot("/after"), head, chunks), Accepted::Queued);
        disk.settled().await;
        assert_eq!(look(&disk, "/after").await, Found::Whole(1 << 64));
        disk.close().await;
    }
}
