//! An answer that has begun is not cut for want of memory: its readers wait for each other, or have smaller pieces.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcsp_edge_cache::engine::{
    Backing, CacheConfig, Entity, PurgeFile, PurgeSelector, ReadError, Refused,
};
use mcsp_runtime::{Entropy as _, SeededEntropy};

use crate::memory_disk::MemoryDisk;
use crate::support::{Harness, any, assert_read, drain, pattern, small, whole};

const OBJECT: usize = 1 << 20;
const MEMORY: u64 = 8 << 20;

fn backed(disk: &Arc<MemoryDisk>, folder: &Path) -> Harness {
    let config = CacheConfig {
        memory_bytes: MEMORY,
        waiters_max: 1000,
        ..small()
    };
    let backing = Backing {
        tier: Arc::clone(disk) as _,
        purges: Box::new(PurgeFile::new(folder.join("purges"))),
    };
    Harness::backed(config, backing)
}

fn body_of(n: usize) -> Vec<u8> {
    let mut body = pattern(OBJECT);
    body[..8].copy_from_slice(&n.to_be_bytes());
    body
}

/// A cache with a cold memory, and `count` objects on its disk.
async fn with_objects(count: usize) -> Harness {
    let folder = tempfile::tempdir().unwrap();
    let disk = MemoryDisk::new();
    let before = backed(&disk, folder.path());
    for n in 0..count {
        before.store(&format!("/{n}"), &body_of(n), &[]).await;
    }
    backed(&disk, folder.path())
}

/// What is on disk under a number. An answer that has not begun may be refused memory, even for its head.
async fn load(harness: &Harness, n: usize) -> Arc<Entity> {
    let key = format!("/{n}");
    for _ in 0..1000 {
        if let Some(entity) = harness.hit_or_load(&key, &any()).await {
            return entity;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{key} is not on disk");
}

/// Many answers from the disk at once, each of an object of its own, and each client holds the piece it was last given.
#[tokio::test]
async fn readers_of_the_disk_that_hold_more_than_there_is_read_smaller_pieces() {
    const READERS: usize = 100;
    let harness = with_objects(READERS).await;
    // What is stored takes all of the memory, and what is read once from the disk does not push it out.
    for n in 0..10 {
        let other = format!("/other/{n}");
        harness.store(&other, &pattern(OBJECT), &[]).await;
    }
    let mut readers = Vec::new();
    for n in 0..READERS {
        readers.push((whole(&load(&harness, n).await), Vec::new(), Bytes::new()));
    }
    let mut ended = 0;
    while ended < READERS {
        ended = 0;
        for (n, (reader, body, held)) in readers.iter_mut().enumerate() {
            match reader.next().await {
                Ok(Some(piece)) => {
                    body.extend_from_slice(&piece);
                    *held = piece;
                }
                Ok(None) => {
                    *held = Bytes::new();
                    ended += 1;
                }
                Err(error) => panic!("answer {n} is cut after {} bytes: {error}", body.len()),
            }
            assert!(harness.cache.used_bytes() <= MEMORY);
        }
    }
    let is_stored = |n: &usize| harness.hit(&format!("/other/{n}")).is_some();
    assert!((0..10).filter(is_stored).count() >= 2);
    for (n, (_, body, _)) in readers.iter().enumerate() {
        assert!(*body == body_of(n), "answer {n} has other bytes");
    }
}

/// More clients than even the smallest pieces fit for: they wait for one another.
#[tokio::test(start_paused = true)]
async fn readers_of_the_disk_wait_for_memory_in_turn() {
    const READERS: usize = 600;
    const OBJECTS: usize = 50;
    let harness = Arc::new(with_objects(OBJECTS).await);
    let mut tasks = Vec::new();
    for n in 0..READERS {
        let harness = Arc::clone(&harness);
        tasks.push(tokio::spawn(async move {
            let random = SeededEntropy::new(n as u64);
            let mut reader = whole(&load(&harness, n % OBJECTS).await);
            let mut body = Vec::new();
            while let Some(piece) = reader.next().await? {
                body.extend_from_slice(&piece);
                // The client takes it slowly, and it is held as long.
                tokio::time::sleep(Duration::from_millis(random.next_u64() % 50)).await;
                assert!(harness.cache.used_bytes() <= MEMORY);
                drop(piece);
            }
            Ok::<_, ReadError>(body)
        }));
    }
    for (n, task) in tasks.into_iter().enumerate() {
        assert_read(&task.await.unwrap(), &body_of(n % OBJECTS));
    }
}

/// Nothing comes free: who waits learns so in time, and may ask an origin for the rest.
#[tokio::test(start_paused = true)]
async fn who_waits_for_memory_in_vain_is_told() {
    const OBJECTS: usize = 30;
    let harness = with_objects(OBJECTS).await;
    let mut entities = Vec::new();
    for n in 0..OBJECTS {
        entities.push(load(&harness, n).await);
    }
    // Clients that have a piece of each, and never let go of it.
    let mut pieces = Vec::new();
    let error = loop {
        let n = pieces.len();
        let from = (n / OBJECTS * (32 << 10)) as u64;
        let mut reader = entities[n % OBJECTS].reader(from..u64::MAX);
        match reader.next().await {
            Ok(piece) => pieces.push((reader, piece)),
            Err(error) => break error,
        }
        assert!(pieces.len() < 1000, "memory has an end");
    };
    assert_eq!(error, ReadError::NoRoom);
    assert!(error.is_retryable());
    pieces.clear();
    assert_read(&drain(whole(&entities[0])).await, &body_of(0));
}

/// Fills that have begun come to their end, however little memory readers leave; those for which there is none are refused
/// before they begin.
#[tokio::test]
async fn a_fill_that_has_begun_does_not_end_for_want_of_memory() {
    let harness = Harness::new();
    let random = SeededEntropy::new(3);
    let mut fills = Vec::new();
    let mut slow = Vec::new();
    let (mut ended, mut refused) = (0, 0);
    for n in 0..400 {
        match harness.try_begin(&format!("/{n}"), Some(OBJECT)) {
            Ok(filling) => {
                let reader = whole(filling.entity());
                fills.push((filling, reader));
            }
            Err(Refused::NoRoom) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        for (filling, reader) in &mut fills {
            let piece = Bytes::from(vec![7; 1 + (random.next_u64() as usize) % 200_000]);
            let left = OBJECT as u64 - filling.position();
            let piece = piece.slice(..piece.len().min(left as usize));
            filling.write(piece).await.unwrap();
            // Readers hold what they were given, and are never done.
            slow.push(reader.next().await.unwrap());
        }
        let (done, rest) = fills
            .into_iter()
            .partition(|(filling, _)| filling.position() == OBJECT as u64);
        fills = rest;
        let done: Vec<_> = done;
        for (filling, _) in done {
            filling.complete().unwrap();
            ended += 1;
        }
        if slow.len() > 40 {
            slow.drain(..20);
        }
        assert!(harness.cache.used_bytes() <= MEMORY);
    }
    assert!(
        ended > 20 && refused > 20,
        "{ended} ended, {refused} refused"
    );
}

/// What is read once does not push out what is stored; what is read again soon is stored; and purges reach both.
#[tokio::test]
async fn what_is_read_from_disk_is_stored_when_it_is_read_again_soon() {
    let harness = with_objects(30).await;
    for n in 0..10 {
        let other = format!("/other/{n}");
        harness.store(&other, &pattern(OBJECT), &[]).await;
    }
    let stored = harness.cache.bytes();
    for n in 0..30 {
        let entity = load(&harness, n).await;
        assert!(harness.hit(&format!("/{n}")).is_none(), "{n} is not stored");
        assert_read(&drain(whole(&entity)).await, &body_of(n));
        assert_eq!(entity.held_bytes(), 0);
    }
    assert!(harness.cache.bytes() >= stored - (64 << 10));
    let passing = load(&harness, 5).await;
    harness.purge(PurgeSelector::Key("/5".into()), false);
    assert!(passing.is_purged());
    assert_eq!(drain(whole(&passing)).await, Err(ReadError::Purged));
    // Twice within what memory holds.
    drop(load(&harness, 29).await);
    assert!(harness.hit("/29").is_some());
}

/// What leaves the memory while it is read gives all of it back but the pieces that clients are at, and a purge still
/// reaches those who read it.
#[tokio::test]
async fn what_left_and_is_on_disk_is_read_on_from_there() {
    let harness = with_objects(1).await;
    let entity = load(&harness, 0).await;
    let mut reader = whole(&entity);
    let mut body = Vec::new();
    for _ in 0..2 {
        body.extend_from_slice(&reader.next().await.unwrap().unwrap());
    }
    assert!(entity.held_bytes() > 0);
    for n in 0..40 {
        harness
            .store(&format!("/other/{n}"), &pattern(OBJECT), &[])
            .await;
    }
    assert!(harness.hit("/0").is_none(), "it left");
    assert_eq!(entity.held_bytes(), 0);
    let piece = reader.next().await.unwrap().unwrap();
    body.extend_from_slice(&piece);
    assert_eq!(body, body_of(0)[..body.len()]);
    assert_eq!(entity.held_bytes(), 0, "it is not stored for it");
    harness.purge(PurgeSelector::Key("/0".into()), false);
    assert_eq!(reader.next().await, Err(ReadError::Purged));
}
