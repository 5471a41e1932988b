//! Folders that are unusable, gone, somebody else's or without room.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mcsp_edge_cache::disk::Disk;
use mcsp_edge_cache::engine::{Accepted, DiskState, DiskTier};
use mcsp_kill::{acknowledge, target, until_killed};
use mcsp_runtime::ManualClock;
use prometheus::Registry;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::disk_support::{
    Found, LINEAGE, clock, config, look, open, response, slot, store, until,
};

async fn open_in(dir: &Path, clock: &Arc<ManualClock>) -> Disk {
    Disk::open(&config(dir), LINEAGE, clock.clone(), &Registry::new())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_tried_again() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("file").join("cache");
    fs::write(root.path().join("file"), "in the way").unwrap();
    let clock = clock();
    let disk = open_in(&dir, &clock).await;
    let health = disk.health();
    assert_eq!(health.state, "failed");
    assert!(health.reason.unwrap().contains("cannot make the folder"));
    let (head, chunks) = response("/a", 1, 1000);
    assert_eq!(disk.store(slot("/a"), head, chunks), Accepted::Dropped);

    fs::remove_file(root.path().join("file")).unwrap();
    until("the tier is healthy", || {
        clock.advance(Duration::from_millis(500));
        disk.state() == DiskState::Healthy
    })
    .await;
    store(&disk, "/a", 1, 1 << 20).await;
    assert_eq!(look(&disk, "/a").await, Found::Whole(1));
    disk.close().await;
}

#[tokio::test]
async fn a_folder_that_disappears_is_noticed_and_a_new_one_made() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("cache");
    let clock = clock();
    let disk = open_in(&dir, &clock).await;
    store(&disk, "/a", 1, 1 << 20).await;
    fs::rename(&dir, root.path().join("elsewhere")).unwrap();
    until("it is noticed", || {
        clock.advance(Duration::from_millis(100));
        disk.health().state == "failed"
    })
    .await;
    let reason = disk.health().reason.unwrap();
    assert!(reason.contains("cannot find the folder"), "{reason}");
    until("the tier is healthy", || {
        clock.advance(Duration::from_millis(500));
        disk.state() == DiskState::Healthy
    })
    .await;
    // The new folder is empty, and works.
    assert_eq!(look(&disk, "/a").await, Found::Nothing);
    store(&disk, "/a", 2, 1 << 20).await;
    assert_eq!(look(&disk, "/a").await, Found::Whole(2));
    disk.close().await;
}

#[tokio::test]
async fn a_folder_that_another_uses_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).await;
    store(&first, "/a", 1, 1 << 20).await;
    let clock = clock();
    let second = open_in(dir.path(), &clock).await;
    assert!(
        second
            .health()
            .reason
            .unwrap()
            .contains("another process uses the folder")
    );
    assert_eq!(look(&first, "/a").await, Found::Whole(1));
    first.close().await;
    drop(first);
    until("the second has it", || {
        clock.advance(Duration::from_millis(500));
        second.state() == DiskState::Healthy
    })
    .await;
    assert_eq!(look(&second, "/a").await, Found::Whole(1));
    second.close().await;
}

/// No file may grow, or be written, beyond `bytes`.
fn limit_files_to(bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    let current = bytes.or(maximum);
    setrlimit(Resource::Fsize, Rlimit { current, maximum }).unwrap();
}

/// The limit is the process's, so it has one of its own; run by the test below.
#[tokio::test]
#[ignore = "the child process of the_real_engine_without_room_is_left_alone_and_comes_back"]
async fn without_room() {
    let Some(dir) = target() else { return };
    // The signal that comes with the error would end the process.
    let _heard = signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).unwrap();
    let clock = clock();
    let disk = open_in(Path::new(&dir), &clock).await;
    for round in 0..3 {
        let kept = format!("/kept/{round}");
        store(&disk, &kept, 100 + round, 3 << 20).await;
        limit_files_to(Some(16 << 10));
        // Several at once, so that writes of different blocks fail side by side.
        for body_id in 0..8 {
            let (head, chunks) = response(&format!("/lost/{body_id}"), body_id, 3 << 20);
            let _ = disk.store(slot(&format!("/lost/{body_id}")), head, chunks);
        }
        until("its trouble is noticed", || {
            disk.state() != DiskState::Healthy
        })
        .await;
        let health = disk.health();
        assert_eq!(health.state, "full", "{health:?}");
        let reason = health.reason.unwrap();
        assert!(reason.contains("cannot write a probe"), "{reason}");
        disk.settled().await;
        limit_files_to(None);
        until("it is healthy again", || {
            clock.advance(Duration::from_millis(500));
            disk.state() == DiskState::Healthy
        })
        .await;
        assert_eq!(look(&disk, &kept).await, Found::Whole(100 + round));
        store(&disk, "/after", 200 + round, 3 << 20).await;
        assert_eq!(look(&disk, "/after").await, Found::Whole(200 + round));
    }
    acknowledge("all of it").unwrap();
    std::future::pending::<()>().await;
}

#[test]
fn the_real_engine_without_room_is_left_alone_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    until_killed("disk_folder::without_room", dir.path(), 1).unwrap();
}
