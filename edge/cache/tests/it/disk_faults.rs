//! Disks that are slow, full or failing: memory goes on alone, the tier says why, and comes back.

use std::time::Duration;

use mcsp_edge_cache::engine::{Accepted, DiskError, DiskRecord, DiskState, DiskTier};

use crate::disk_faulty::{Mood, Setup};
use crate::disk_support::{CHUNK, Found, look, response, slot, until};

/// Longer than the longest wait between two probes.
const A_WHILE: Duration = Duration::from_secs(61);

/// Long enough for a disk that works on a machine that is busy, and short enough to wait for.
const SHORT_MS: u64 = 2_000;

#[tokio::test]
async fn a_disk_that_does_not_answer_reads_is_left_alone_and_comes_back() {
    let setup = Setup::new(SHORT_MS).await;
    setup.faults.mood.send_replace(Mood::Stuck);
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(setup.disk.load(slot("/old")));
    }
    for answer in futures::future::join_all(answers).await {
        assert!(matches!(
            answer,
            Err(DiskError::TooSlow {
                deadline_ms: SHORT_MS
            })
        ));
    }
    setup
        .is_degraded("slow", "reads took longer than 2000 ms")
        .await;
    setup.faults.mood.send_replace(Mood::Well);
    setup.comes_back().await;
    assert_eq!(
        *setup.faults.opened.lock(),
        1,
        "it was the same all the time"
    );
}

#[tokio::test]
async fn a_disk_that_does_not_finish_writes_is_left_alone_and_comes_back() {
    let setup = Setup::new(SHORT_MS).await;
    setup.faults.mood.send_replace(Mood::Stuck);
    let (head, chunks) = response("/new", 2, 1 << 20);
    assert_eq!(
        setup.disk.store(slot("/new"), head, chunks),
        Accepted::Queued
    );
    setup
        .is_degraded("slow", "a batch of writes took longer")
        .await;
    // It stays so while the disk does: probes fail.
    until("probes fail", || {
        setup.clock.advance(A_WHILE);
        setup.disk.health().failed_probes > 0
    })
    .await;
    setup.is_degraded("slow", "no answer within 2000 ms").await;
    setup.faults.mood.send_replace(Mood::Well);
    setup.comes_back().await;
}

#[tokio::test]
async fn a_full_disk_is_left_alone_and_comes_back() {
    let setup = Setup::new(60_000).await;
    setup.faults.mood.send_replace(Mood::Full);
    let (head, chunks) = response("/new", 2, 1 << 20);
    assert_eq!(
        setup.disk.store(slot("/new"), head, chunks),
        Accepted::Queued
    );
    setup.is_degraded("full", "no room").await;
    until("probes fail", || {
        setup.clock.advance(A_WHILE);
        setup.disk.health().failed_probes >= 2
    })
    .await;
    setup.is_degraded("full", "no room").await;
    setup.faults.mood.send_replace(Mood::Well);
    setup.comes_back().await;
}

#[tokio::test]
async fn a_disk_that_keeps_nothing_is_opened_anew() {
    let setup = Setup::new(60_000).await;
    setup.faults.mood.send_replace(Mood::Lossy);
    for body_id in 10.. {
        let (head, chunks) = response("/lost", body_id, 1000);
        if setup.disk.store(slot("/lost"), head, chunks) == Accepted::Dropped {
            break;
        }
        setup.disk.settled().await;
        assert!(body_id < 20, "it never says so");
        let found = setup.disk.load(slot("/lost")).await;
        assert!(
            matches!(found, Ok(None) | Err(DiskError::Degraded)),
            "{found:?}"
        );
    }
    setup.is_degraded("failed", "keeps losing writes").await;
    setup.faults.mood.send_replace(Mood::Well);
    setup.comes_back().await;
    assert_eq!(*setup.faults.opened.lock(), 2);
}

/// The engine says nothing of a write that failed, and may then write over what it still has elsewhere.
#[tokio::test]
async fn after_a_lost_write_nothing_is_sent_that_was_not_read() {
    let setup = Setup::new(60_000).await;
    let lying = || setup.disk.chunk_lying(1, 0, 0..CHUNK);
    // A kernel may take away what was read, and then it was not.
    for tries in 0.. {
        assert_eq!(look(&setup.disk, "/old").await, Found::Whole(1));
        if lying().is_some_and(|part| part.is_here()) {
            break;
        }
        assert!(tries < 100);
    }
    let part = lying().unwrap();
    setup.faults.mood.send_replace(Mood::Lossy);
    let (head, chunks) = response("/lost", 10, 1000);
    setup.disk.store(slot("/lost"), head, chunks);
    setup.disk.settled().await;
    assert!(!part.is_here(), "what was begun is not gone on with");
    setup.faults.mood.send_replace(Mood::Well);
    for _ in 0..3 {
        assert!(lying().is_none());
        assert_eq!(look(&setup.disk, "/old").await, Found::Whole(1));
    }
    // The next process knows nothing of it.
    setup.disk.close().await;
}

#[tokio::test]
async fn a_storage_engine_that_panics_is_opened_anew() {
    let setup = Setup::new(60_000).await;
    setup.faults.mood.send_replace(Mood::Disordered);
    let (head, chunks) = response("/new", 2, 1 << 20);
    assert_eq!(
        setup.disk.store(slot("/new"), head, chunks),
        Accepted::Queued
    );
    setup.is_degraded("failed", "engine panicked").await;
    setup.disk.settled().await;
    setup.faults.mood.send_replace(Mood::Well);
    setup.comes_back().await;
    assert_eq!(*setup.faults.opened.lock(), 2);
}

#[tokio::test]
async fn a_disk_that_refuses_reads_is_opened_anew() {
    let setup = Setup::new(60_000).await;
    setup.faults.mood.send_replace(Mood::Unreadable);
    for _ in 0..4 {
        let refused = setup.disk.load(slot("/old")).await.unwrap_err();
        assert!(matches!(refused, DiskError::Failed { .. }), "{refused:?}");
    }
    setup.is_degraded("failed", "no reading").await;
    assert!(
        setup.disk.remove(slot("/never")),
        "what it has is not known before it is open"
    );
    setup.faults.mood.send_replace(Mood::Well);
    setup.comes_back().await;
    assert_eq!(*setup.faults.opened.lock(), 2);
}

#[tokio::test]
async fn what_is_taken_away_while_it_is_written_is_gone_at_once() {
    let setup = Setup::new(60_000).await;
    let disk = &setup.disk;
    let rules = |name: &str| DiskRecord::Rules {
        key: "/rules".to_owned(),
        rules: vec![vec![name.to_owned()]],
        since: 0,
    };
    setup.faults.mood.send_replace(Mood::Stuck);
    assert_eq!(
        disk.store_record(slot("/rules"), rules("accept")),
        Accepted::Queued
    );
    until("it is being written", || disk.may_hold(slot("/rules"))).await;
    disk.remove(slot("/rules"));
    assert!(!disk.may_hold(slot("/rules")));
    assert_eq!(disk.load(slot("/rules")).await.unwrap(), None);
    setup.faults.mood.send_replace(Mood::Well);
    disk.settled().await;
    assert!(!disk.may_hold(slot("/rules")));
    assert_eq!(disk.load(slot("/rules")).await.unwrap(), None);
    // What comes after it counts.
    assert_eq!(
        disk.store_record(slot("/rules"), rules("cookie")),
        Accepted::Queued
    );
    disk.settled().await;
    assert_eq!(
        disk.load(slot("/rules")).await.unwrap(),
        Some(rules("cookie"))
    );
    disk.close().await;
}

#[tokio::test]
async fn what_was_replaced_does_not_come_back_when_the_replacement_is_lost() {
    let setup = Setup::new(60_000).await;
    assert_eq!(look(&setup.disk, "/old").await, Found::Whole(1));
    setup.faults.mood.send_replace(Mood::Lossy);
    let (mut head, _) = response("/old", 1, 1 << 20);
    head.generation = 50;
    let accepted = setup
        .disk
        .store_record(slot("/old"), DiskRecord::Head(Box::new(head)));
    assert_eq!(accepted, Accepted::Queued);
    setup.disk.settled().await;
    setup.faults.mood.send_replace(Mood::Well);
    assert_eq!(look(&setup.disk, "/old").await, Found::Nothing);
    setup.disk.close().await;
}

#[tokio::test]
async fn blocks_that_cannot_be_mapped_are_counted_and_are_no_trouble() {
    let setup = Setup::new(60_000).await;
    assert_eq!(setup.disk.blocks_unmapped(), 0);
    *setup.faults.unmapped.lock() = 3;
    until("the gauge", || {
        setup.clock.advance(A_WHILE);
        setup.gauge("mcsp_cache_disk_blocks_unmapped") == 3.0
    })
    .await;
    assert_eq!(setup.disk.blocks_unmapped(), 3);
    assert_eq!(setup.disk.state(), DiskState::Healthy);
    assert_eq!(look(&setup.disk, "/old").await, Found::Whole(1));
}

#[tokio::test]
async fn a_disk_that_becomes_read_only_is_left_alone_and_comes_back() {
    let setup = Setup::new(60_000).await;
    assert_eq!(look(&setup.disk, "/old").await, Found::Whole(1));
    setup.faults.mood.send_replace(Mood::ReadOnly);
    // Nothing shows it before something is to be written: what is there is served meanwhile.
    assert_eq!(look(&setup.disk, "/old").await, Found::Whole(1));
    let (head, chunks) = response("/new", 2, 1 << 20);
    assert_eq!(
        setup.disk.store(slot("/new"), head, chunks),
        Accepted::Queued
    );
    setup.is_degraded("failed", "Read-only file system").await;
    until("probes fail", || {
        setup.clock.advance(A_WHILE);
        setup.disk.health().failed_probes >= 2
    })
    .await;
    setup.is_degraded("failed", "Read-only file system").await;
    setup.faults.mood.send_replace(Mood::Well);
    setup.comes_back().await;
}
