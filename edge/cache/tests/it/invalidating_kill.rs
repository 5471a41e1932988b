//! What a client was told is invalidated does not come back by `kill -9`.

use std::path::Path;

use http::HeaderMap;
use mcsp_edge_cache::disk::Disk;
use mcsp_edge_cache::engine::{DiskTier as _, Key, Variant};
use mcsp_kill::{acknowledge, target, until_killed};
use mcsp_runtime::{SeededEntropy, SystemClock};
use prometheus::Registry;

use crate::disk_support::config;
use crate::simulation_model::version_header;
use crate::support::{Harness, headers, lead, small};

const KEYS: usize = 6;

fn key(number: usize) -> String {
    format!("http://a.example/{number}")
}

/// Odd ones have variants.
fn request(number: usize) -> HeaderMap {
    headers(&[("accept-language", if number % 4 == 1 { "en" } else { "fr" })])
}

fn variant(number: usize) -> Variant {
    if number.is_multiple_of(2) {
        Variant::default()
    } else {
        Variant::of([http::header::ACCEPT_LANGUAGE], &request(number))
    }
}

async fn start(folder: &Path) -> (Harness, std::sync::Arc<Disk>) {
    let entropy = SeededEntropy::new(1);
    let config = config(&folder.join("cache"));
    let opened = Disk::backing(&config, SystemClock::shared(), &*entropy, &Registry::new()).await;
    let (disk, backing) = opened.unwrap();
    (Harness::backed(small(), backing), disk)
}

/// Stores, and invalidates once it is on disk, for ever; run by the test below as a process of its own.
#[tokio::test]
#[ignore = "the child process of what_was_invalidated_does_not_come_back_by_a_kill"]
async fn client() {
    let Some(folder) = target() else { return };
    let (harness, disk) = start(Path::new(&folder)).await;
    let cache = &harness.cache;
    loop {
        // Goes up over runs.
        let version = cache
            .inspect(Key::new("/"), &HeaderMap::new())
            .await
            .generation;
        for number in 0..KEYS {
            let text = key(number);
            let join = cache.join(Key::new(&text), &request(number), cache.ticket(), None);
            let mut response = harness.whole(Some(9_000), &[("x-version", &version.to_string())]);
            response.variant = variant(number);
            let mut filling = lead(join).begin(response).unwrap();
            filling.write(vec![0; 9_000].into()).await.unwrap();
            filling.complete().unwrap();
        }
        // Some are on disk and some on their way.
        if version % 3 > 0 {
            disk.settled().await;
        }
        for number in 0..KEYS {
            cache.invalidate(Key::new(&key(number)));
            cache.flush_invalidations().await.unwrap();
            acknowledge(format!("{number} {version}")).unwrap();
        }
    }
}

#[tokio::test]
async fn what_was_invalidated_does_not_come_back_by_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut last = [0; KEYS];
    for enough in [1, 8, 15, 22, 40] {
        let said = until_killed("invalidating_kill::client", folder.path(), enough).unwrap();
        for line in &said {
            let (number, version) = line.split_once(' ').unwrap();
            let version: u64 = version.parse().unwrap();
            let known = &mut last[number.parse::<usize>().unwrap()];
            *known = version.max(*known);
        }
        let (harness, disk) = start(folder.path()).await;
        for (number, last) in last.iter().enumerate() {
            let found = harness.hit_or_load(&key(number), &request(number)).await;
            if let Some(entity) = found {
                let version: u64 = version_header(&entity).parse().unwrap();
                assert!(version > *last, "{number} of {version} after {last}");
            }
        }
        disk.close().await;
    }
}
