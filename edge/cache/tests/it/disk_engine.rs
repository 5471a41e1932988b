//! The engine on the real disk tier.

use std::path::Path;
use std::sync::Arc;

use mcsp_edge_cache::disk::Disk;
use mcsp_edge_cache::engine::{DiskTier, PurgeSelector};
use mcsp_runtime::{SystemClock, SystemEntropy};
use prometheus::Registry;

use crate::disk_support::{config, until};
use crate::support::{CHUNK, Harness, any, drain, pattern, small, whole};

struct Machine {
    disk: Arc<Disk>,
    harness: Harness,
}

impl Machine {
    async fn start(dir: &Path) -> Self {
        let (disk, backing) = Disk::backing(
            &config(dir),
            SystemClock::shared(),
            &SystemEntropy,
            &Registry::new(),
        )
        .await
        .unwrap();
        let harness = Harness::backed(small(), backing);
        Self { disk, harness }
    }

    async fn stop(self) {
        self.harness.cache.flush_purges().await.unwrap();
        self.harness.cache.close().await;
    }

    /// The bytes under `key`, from memory or the disk.
    async fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        let entity = self.harness.hit_or_load(key, &any()).await?;
        Some(drain(whole(&entity)).await.unwrap())
    }
}

const TAGGED: &[(&str, &str)] = &[("surrogate-key", "t")];

#[tokio::test]
async fn restarts_keep_what_was_stored_and_what_was_purged() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("cache");
    let body = pattern(3 * CHUNK + 5);
    let machine = Machine::start(&dir).await;
    for key in ["/kept", "/by-key", "/p/by-prefix", "/p/kept"] {
        machine.harness.store(key, &body, &[]).await;
    }
    machine.harness.store("/by-tag", &body, TAGGED).await;
    machine.disk.settled().await;
    machine.stop().await;

    // None of it is in memory when it is purged.
    let machine = Machine::start(&dir).await;
    for selector in [
        PurgeSelector::Key("/by-key".into()),
        PurgeSelector::Prefix("/p/by".into()),
        PurgeSelector::SurrogateKey("t".into()),
    ] {
        machine.harness.purge(selector, false);
    }
    machine.stop().await;

    for _ in 0..2 {
        let machine = Machine::start(&dir).await;
        for key in ["/by-key", "/p/by-prefix", "/by-tag"] {
            assert_eq!(machine.bytes(key).await, None, "{key}");
        }
        for key in ["/kept", "/p/kept"] {
            assert!(machine.bytes(key).await.unwrap() == body, "{key}");
        }
        machine.stop().await;
    }
}

#[tokio::test]
async fn without_its_purge_history_nothing_is_served() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("cache");
    let machine = Machine::start(&dir).await;
    machine.harness.store("/a", b"body", &[]).await;
    machine.disk.settled().await;
    machine.stop().await;
    std::fs::remove_file(root.path().join("cache.purges")).unwrap();

    let machine = Machine::start(&dir).await;
    assert_eq!(machine.bytes("/a").await, None);
    // The same ids are given again, to other bodies.
    machine.harness.store("/b", b"other", &[]).await;
    machine.disk.settled().await;
    machine.stop().await;
    let machine = Machine::start(&dir).await;
    assert_eq!(machine.bytes("/a").await, None);
    assert_eq!(machine.bytes("/b").await.unwrap(), b"other");
    machine.stop().await;
}

#[tokio::test]
async fn a_response_that_replaced_another_is_what_a_restart_finds() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("cache");
    let machine = Machine::start(&dir).await;
    machine.harness.store("/a", &pattern(CHUNK * 2), &[]).await;
    machine.disk.settled().await;
    machine
        .harness
        .purge(PurgeSelector::Key("/a".into()), false);
    until("it is off the disk", || {
        !machine
            .disk
            .may_hold(mcsp_edge_cache::engine::KeyHash::of("/a"))
    })
    .await;
    machine.harness.store("/a", b"new", &[]).await;
    machine.disk.settled().await;
    machine.stop().await;
    let machine = Machine::start(&dir).await;
    assert_eq!(machine.bytes("/a").await.unwrap(), b"new");
    machine.stop().await;
}
