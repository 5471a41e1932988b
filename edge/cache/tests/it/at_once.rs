//! What the kernel has of the disk in its memory is read without waiting, and ahead where there is room for it.

use std::sync::Arc;

use mcsp_edge_cache::engine::{Backing, CacheConfig, Entity, PurgeFile, PurgeSelector, ReadError};

use crate::memory_disk::MemoryDisk;
use crate::support::{CHUNK, Harness, any, pattern, small};

const MEMORY: u64 = 8 << 20;
const OBJECT: usize = 4 * CHUNK + 1000;

fn backed(disk: &Arc<MemoryDisk>, pinned_bytes_max: u64) -> Harness {
    let folder = tempfile::tempdir().unwrap();
    let config = CacheConfig {
        memory_bytes: MEMORY,
        pinned_bytes_max,
        ..small()
    };
    let backing = Backing {
        tier: Arc::clone(disk) as _,
        purges: Box::new(PurgeFile::new(folder.path().join("purges"))),
    };
    Harness::backed(config, backing)
}

/// A disk that need not be waited for with an object, and a cache with a cold memory. `is_full`: the memory is, of something
/// else, so that what is read from the disk is not stored in it.
async fn with_object(pinned_bytes_max: u64, is_full: bool) -> (Arc<MemoryDisk>, Harness) {
    let disk = MemoryDisk::new();
    let before = backed(&disk, pinned_bytes_max);
    before.store("/a", &pattern(OBJECT), &[]).await;
    let harness = backed(&disk, pinned_bytes_max);
    for n in 0..if is_full { 8 } else { 0 } {
        let other = format!("/other/{n}");
        harness.store(&other, &pattern(1 << 20), &[]).await;
    }
    disk.be_warm();
    (disk, harness)
}

async fn load(harness: &Harness) -> Arc<Entity> {
    harness.hit_or_load("/a", &any()).await.unwrap()
}

#[tokio::test]
async fn a_whole_body_is_read_without_waiting_stored_or_not() {
    for is_full in [false, true] {
        let (_disk, harness) = with_object(MEMORY, is_full).await;
        let entity = load(&harness).await;
        for range in [0..OBJECT, 1..CHUNK + 1, 3 * CHUNK - 5..OBJECT - 1] {
            let mut reader = entity.reader(range.start as u64..range.end as u64);
            let mut body = Vec::new();
            while let Some(piece) = reader.try_next() {
                body.extend_from_slice(&piece);
            }
            assert!(body == pattern(OBJECT)[range.clone()], "{range:?}");
        }
        assert_eq!(entity.is_complete(), !is_full, "is it stored?");
    }
}

#[tokio::test]
async fn what_is_read_ahead_follows_and_is_held_only_where_there_is_plenty() {
    // Readers hold up to half of what they may before one of them stops reading ahead; the first piece is a chunk.
    for (pinned_bytes_max, ahead) in [(MEMORY, 4), (5 * CHUNK as u64, 1), (CHUNK as u64, 0)] {
        let (_disk, harness) = with_object(pinned_bytes_max, true).await;
        let entity = load(&harness).await;
        let mut reader = entity.reader(0..OBJECT as u64);
        let mut held = vec![reader.try_next().unwrap()];
        while let Some(piece) = reader.try_ahead() {
            held.push(piece);
        }
        assert_eq!(held.len() - 1, ahead, "with {pinned_bytes_max} bytes");
        assert!(harness.cache.used_bytes() <= MEMORY);
        let mut body = held.concat();
        held.clear();
        while let Some(piece) = reader.try_next() {
            body.extend_from_slice(&piece);
        }
        assert!(body == pattern(OBJECT));
    }
}

#[tokio::test]
async fn nothing_is_read_ahead_of_what_is_being_filled() {
    let harness = Harness::new();
    let mut filling = harness.begin("/a", Some(OBJECT));
    filling
        .write(pattern(OBJECT)[..3 * CHUNK].to_vec().into())
        .await
        .unwrap();
    let entity = harness.hit("/a").unwrap();
    let mut reader = entity.reader(0..OBJECT as u64);
    assert!(reader.try_next().is_some());
    assert_eq!(reader.try_ahead(), None);
    assert!(reader.try_next().is_some());
}

#[tokio::test]
async fn what_is_missing_is_a_hole_and_what_was_purged_is_not_given_out() {
    for is_full in [false, true] {
        let (disk, harness) = with_object(MEMORY, is_full).await;
        disk.lose_chunks(1);
        let entity = load(&harness).await;
        let mut reader = entity.reader(0..OBJECT as u64);
        assert_eq!(reader.try_next().unwrap(), pattern(OBJECT)[..CHUNK]);
        assert_eq!(reader.try_ahead(), None);
        assert_eq!(reader.try_next(), None);
        let at = CHUNK as u64;
        assert_eq!(reader.next().await, Err(ReadError::Hole { at }));
        let mut reader = entity.reader(2 * at..OBJECT as u64);
        harness.purge(PurgeSelector::Key("/a".into()), false);
        assert_eq!((reader.try_next(), reader.try_ahead()), (None, None));
        assert_eq!(reader.next().await, Err(ReadError::Purged));
    }
}
