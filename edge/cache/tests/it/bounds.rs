//! Memory is bounded by configuration, whatever comes.

use std::sync::Arc;

use bytes::Bytes;
use mcsp_edge_cache::engine::{CacheConfig, Entity, PurgeSelector, Reader, Refused};
use mcsp_runtime::{Entropy, SeededEntropy};

use crate::support::{CHUNK, Harness, assert_read, drain, pattern, small, whole};

#[tokio::test]
async fn memory_is_used_up_and_never_exceeded() {
    let harness = Harness::new();
    for n in 0..400 {
        let body = pattern(1000 + (n * 7919) % 150_000);
        harness
            .store(&format!("/{n}"), &body, &[("surrogate-key", "all")])
            .await;
        assert!(harness.cache.used_bytes() <= 8 << 20);
    }
    let used = harness.cache.used_bytes();
    assert!(used > 7 << 20, "{used} bytes of 8 MiB are little");
    assert_eq!(
        harness.cache.bytes(),
        used,
        "the tier's weights are what is held"
    );
    let left = (0..400).filter(|n| harness.hit(&format!("/{n}")).is_some());
    let left = left.count();
    let report = harness.purge(PurgeSelector::SurrogateKey("all".into()), false);
    assert_eq!(report.objects, left, "what left is forgotten");
    assert_eq!(harness.cache.used_bytes(), 0);
}

/// Ten thousand clients, each behind on a response of its own or on a popular one, holding the piece they were last
/// given, while new responses keep coming.
#[tokio::test(start_paused = true)]
async fn ten_thousand_slow_readers_hold_no_more_than_the_memory() {
    let limit = 32 << 20;
    let harness = Harness::with(CacheConfig {
        memory_bytes: limit,
        pinned_bytes_max: 8 << 20,
        fill_bytes_max: 8 << 20,
        ..small()
    });
    let random = SeededEntropy::new(7);
    let resident = rss_bytes();
    let bytes = Bytes::from(pattern(200_000));
    let mut slow: Vec<(Reader, Option<Bytes>)> = Vec::new();
    let mut popular = Vec::new();
    let mut refused = 0;
    for n in 0..10_000u64 {
        let key = format!("/{n}");
        let body = bytes.slice(..usize::try_from(random.next_u64() % 200_000).unwrap());
        let entity: Option<Arc<Entity>> = match harness.try_begin(&key, Some(body.len())) {
            Ok(mut filling) => {
                let entity = Arc::clone(filling.entity());
                let written = filling.write(body).await;
                match written.and_then(|()| filling.complete().map(|_| ())) {
                    Ok(()) => Some(entity),
                    Err(_) => {
                        refused += 1;
                        None
                    }
                }
            }
            Err(Refused::NoRoom) => {
                refused += 1;
                None
            }
            Err(other) => panic!("{other}"),
        };
        if entity.is_some() {
            popular.push(key);
        }
        let entity = entity.or_else(|| {
            let count = popular.len() as u64;
            let from = random.next_u64() % count;
            let mut keys = (0..count).map(|n| &popular[((from + n) % count) as usize]);
            keys.find_map(|key| harness.hit(key))
        });
        if let Some(entity) = entity {
            let mut reader = whole(&entity);
            let piece = reader.next().await.unwrap_or(None);
            slow.push((reader, piece));
        }
        assert!(harness.cache.used_bytes() <= limit, "after {n} clients");
    }
    assert!(slow.len() == 10_000, "{}", slow.len());
    assert!(refused > 0, "something had to be passed through");
    // The allocator keeps some, the test itself some more; what must not be is a multiple.
    let grown = rss_bytes().saturating_sub(resident);
    assert!(
        grown < 3 * limit,
        "{grown} bytes of memory for a limit of {limit}"
    );
    // A hard purge, and all of it comes back as soon as they notice.
    harness.purge(PurgeSelector::Everything, false);
    drop(slow);
    assert_eq!(harness.cache.used_bytes(), 0);
    harness.store("/after", &pattern(CHUNK), &[]).await;
    assert!(harness.hit("/after").is_some());
}

fn rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: u64 = line
        .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap();
    kib << 10
}

/// What slow readers hold does not push out everything else: beyond their share, nothing leaves for newcomers.
#[tokio::test(start_paused = true)]
async fn slow_readers_do_not_empty_the_cache() {
    let harness = Harness::new();
    let mut slow = Vec::new();
    for n in 0..100 {
        let Ok(mut filling) = harness.try_begin(&format!("/{n}"), Some(CHUNK)) else {
            continue;
        };
        let reader = whole(filling.entity());
        let written = filling.write(Bytes::from(pattern(CHUNK))).await;
        if written.is_ok() && filling.complete().is_ok() {
            slow.push(reader);
        }
    }
    let stored = harness.cache.bytes();
    assert!(
        stored >= 5 << 20,
        "{stored} bytes of 8 MiB are left to serve"
    );
    let mut whole_ones = 0;
    for reader in slow {
        assert_read(&drain(reader).await, &pattern(CHUNK));
        whole_ones += 1;
    }
    assert!(whole_ones >= 28, "{whole_ones}");
}

#[tokio::test]
async fn fills_have_a_share_of_their_own() {
    let harness = Harness::new();
    let mut fills = Vec::new();
    for n in 0..20 {
        match harness.try_begin(&format!("/{n}"), Some(1 << 20)) {
            Ok(filling) => fills.push(filling),
            Err(error) => assert_eq!(error, Refused::NoRoom),
        }
    }
    assert_eq!(fills.len(), 4);
    assert_eq!(harness.cache.fill_bytes(), 4 << 20);
    // One of unknown length streams through when it cannot get more.
    let mut filling = harness.begin("/unknown", None);
    let reader = tokio::spawn(drain(whole(filling.entity())));
    for piece in pattern(300_000).chunks(20_000) {
        filling.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    assert!(filling.is_streaming());
    filling.complete().unwrap();
    assert_read(&reader.await.unwrap(), &pattern(300_000));
    drop(fills);
    assert_eq!(harness.cache.fill_bytes(), 0);
}

/// Objects that are asked for once, in any number, do not push out those that are asked for again and again.
#[tokio::test]
async fn a_scan_does_not_push_out_what_is_popular() {
    let harness = Harness::new();
    for n in 0..50 {
        harness
            .store(&format!("/hot/{n}"), &pattern(50_000), &[])
            .await;
    }
    for _ in 0..3 {
        for n in 0..50 {
            assert!(harness.hit(&format!("/hot/{n}")).is_some());
        }
    }
    for n in 0..2000 {
        harness
            .store(&format!("/scan/{n}"), &pattern(50_000), &[])
            .await;
    }
    let hot = (0..50).filter(|n| harness.hit(&format!("/hot/{n}")).is_some());
    assert!(hot.count() >= 45);
}

/// What left while somebody read it takes memory until it is forgotten, which comes before anything else has to leave.
#[tokio::test]
async fn what_is_gone_is_counted_until_it_is_forgotten_and_drives_nothing_out() {
    let harness = Harness::with(CacheConfig {
        memory_bytes: 4 << 20,
        object_bytes_max: 1 << 20,
        fill_bytes_max: 4 << 20,
        pinned_bytes_max: 4 << 20,
        ..small()
    });
    let mut read = Vec::new();
    while let Ok(mut filling) = harness.try_begin(&format!("/{}", read.len()), Some(1)) {
        let entity = Arc::clone(filling.entity());
        if filling.write(Bytes::from_static(b"x")).await.is_err() || filling.complete().is_err() {
            break;
        }
        read.push(entity);
    }
    assert!(read.len() > 1_000, "{}", read.len());
    harness.purge(PurgeSelector::Everything, false);
    let places = (read.len() as f64 * 256.0).max(500_000.0);
    drop(read);
    harness.purge(PurgeSelector::Key("/none".into()), false);
    let used = harness.gauge("mcsp_cache_used_bytes");
    assert!(used > places, "{used} bytes of {}", 4 << 20);
    // With what is gone, it would be more than the memory.
    let keys = ["/a", "/b", "/c", "/d"];
    for key in keys {
        harness.store(key, &pattern(950_000), &[]).await;
    }
    assert!(keys.iter().all(|key| harness.hit(key).is_some()));
}
