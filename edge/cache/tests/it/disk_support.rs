//! Responses for the disk tier whose every byte says whose it is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::ETAG;
use mcsp_edge_cache::disk::{Disk, DiskConfig};
use mcsp_edge_cache::engine::{
    Accepted, DiskHead, DiskLifetimes, DiskRecord, DiskState, DiskTier, KeyHash,
};
use mcsp_runtime::{ManualClock, SystemClock};
use prometheus::Registry;

pub(crate) const CHUNK: u32 = 256 << 10;
pub(crate) const LINEAGE: u128 = 7;

pub(crate) fn config(dir: &Path) -> DiskConfig {
    DiskConfig {
        bytes: 64 << 20,
        // The machine may be busy; nothing here measures time.
        read_timeout_ms: 60_000,
        write_timeout_ms: 60_000,
        ..DiskConfig::in_dir(dir)
    }
}

pub(crate) async fn open(dir: &Path) -> Disk {
    let disk = Disk::open(
        &config(dir),
        LINEAGE,
        SystemClock::shared(),
        &Registry::new(),
    )
    .await
    .unwrap();
    assert_eq!(disk.state(), DiskState::Healthy);
    disk
}

pub(crate) fn clock() -> std::sync::Arc<ManualClock> {
    ManualClock::new(1_000_000)
}

pub(crate) fn slot(name: &str) -> KeyHash {
    KeyHash::of(name)
}

/// A response under `name` of `total_len` bytes, and its chunks.
pub(crate) fn response(name: &str, body_id: u128, total_len: u64) -> (DiskHead, Vec<Bytes>) {
    let head = DiskHead {
        key: name.into(),
        vary: Vec::new(),
        status: 200,
        headers: [(ETAG, format!("\"{body_id}\"").parse().unwrap())]
            .into_iter()
            .collect(),
        lifetimes: DiskLifetimes::default(),
        generation: 3,
        body_generation: 2,
        tags: [Arc::from("tag")].into(),
        total_len,
        chunk_bytes: CHUNK,
        body_id,
        body: None,
    };
    let chunks = (0..total_len.div_ceil(u64::from(CHUNK)))
        .map(|index| chunk(&head, u32::try_from(index).unwrap()))
        .collect();
    (head, chunks)
}

/// Chunk `index` of the head's body: eight bytes at a time that depend on the body and the place.
pub(crate) fn chunk(head: &DiskHead, index: u32) -> Bytes {
    let start = u64::from(index) * u64::from(CHUNK);
    let len = (head.total_len - start).min(u64::from(CHUNK));
    let salt = (head.body_id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes: Vec<u8> = (start / 8..(start + len).div_ceil(8))
        .flat_map(|word| (salt ^ word.wrapping_mul(0xbf58_476d_1ce4_e5b9)).to_le_bytes())
        .collect();
    bytes.truncate(usize::try_from(len).unwrap());
    Bytes::from(bytes)
}

/// Stores, and waits until it is written or lost.
pub(crate) async fn store(disk: &Disk, name: &str, body_id: u128, total_len: u64) {
    let (head, chunks) = response(name, body_id, total_len);
    assert_eq!(disk.store(slot(name), head, chunks), Accepted::Queued);
    disk.settled().await;
}

/// What a look at a slot finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// The whole response with this body.
    Whole(u128),
    /// A head with this body, and that many of its chunks are missing.
    Holes(u128, u32),
    Nothing,
}

/// Reads all that is under `name`. Panics when one byte is wrong: nothing excuses that.
pub(crate) async fn look(disk: &Disk, name: &str) -> Found {
    let Some(DiskRecord::Head(head)) = disk.load(slot(name)).await.unwrap() else {
        return Found::Nothing;
    };
    let (expected, chunks) = response(name, head.body_id, head.total_len);
    assert_eq!(*head, expected, "the head of {name}");
    let mut missing = 0;
    for (index, expected) in (0..).zip(chunks) {
        match disk
            .load_chunk(head.body_id, index, 0..expected.len() as u32)
            .await
            .unwrap()
        {
            Some(found) => assert!(found == expected, "chunk {index} of {name} has other bytes"),
            None => missing += 1,
        }
    }
    match missing {
        0 => Found::Whole(head.body_id),
        missing => Found::Holes(head.body_id, missing),
    }
}

/// Waits, within a bound, until `condition` holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    // A busy machine with a slow disk takes its time; who waits for what never comes is told before the runner ends it.
    const TRIES: u32 = 12_000;
    for _ in 0..TRIES {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come to this: {what}");
}
