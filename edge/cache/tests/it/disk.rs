//! The disk tier on a disk that works: what was stored is found, over restarts, and nothing else is.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use mcsp_edge_cache::disk::{Disk, DiskConfig};
use mcsp_edge_cache::engine::{Accepted, DiskRecord, DiskTier};
use mcsp_runtime::SystemClock;
use prometheus::Registry;

use crate::disk_support::{
    CHUNK, Found, LINEAGE, config, look, open, response, slot, store, until,
};

const LEN: u64 = 3 * (256 << 10) + 777;

#[tokio::test]
async fn a_restart_keeps_every_byte() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path()).await;
    let lengths = [
        0,
        1,
        4096,
        u64::from(CHUNK),
        u64::from(CHUNK) + 1,
        LEN,
        20 << 20,
    ];
    for (body_id, total_len) in (1..).zip(lengths) {
        store(&disk, &format!("/{total_len}"), body_id, total_len).await;
    }
    let rules = DiskRecord::Rules {
        key: "/varies".to_owned(),
        rules: vec![vec!["accept".to_owned()]],
        since: 5,
    };
    assert_eq!(
        disk.store_record(slot("/varies"), rules.clone()),
        Accepted::Queued
    );
    disk.settled().await;
    for restart in 0..3 {
        let disk = if restart == 0 {
            &disk
        } else {
            &open(dir.path()).await
        };
        for (body_id, total_len) in (1..).zip(lengths) {
            assert_eq!(
                look(disk, &format!("/{total_len}")).await,
                Found::Whole(body_id)
            );
        }
        assert_eq!(
            disk.load(slot("/varies")).await.unwrap(),
            Some(rules.clone())
        );
        assert!(!disk.may_hold(slot("/never")));
        assert_eq!(look(disk, "/never").await, Found::Nothing);
        disk.close().await;
    }
}

#[tokio::test]
async fn a_replaced_response_stays_replaced_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path()).await;
    store(&disk, "/a", 1, LEN).await;
    store(&disk, "/a", 2, 10).await;
    assert_eq!(look(&disk, "/a").await, Found::Whole(2));
    disk.close().await;
    drop(disk);
    let disk = open(dir.path()).await;
    assert_eq!(look(&disk, "/a").await, Found::Whole(2));
    disk.close().await;
}

#[tokio::test]
async fn what_was_taken_away_stays_away_over_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path()).await;
    store(&disk, "/kept", 1, LEN).await;
    store(&disk, "/gone", 2, LEN).await;
    assert!(disk.remove(slot("/gone")), "a kill may bring it back");
    assert!(!disk.may_hold(slot("/gone")));
    assert!(!disk.remove(slot("/never")), "nothing can");
    assert_eq!(look(&disk, "/gone").await, Found::Nothing);
    disk.close().await;
    drop(disk);
    let disk = open(dir.path()).await;
    assert_eq!(look(&disk, "/gone").await, Found::Nothing);
    assert_eq!(look(&disk, "/kept").await, Found::Whole(1));
    disk.close().await;
}

#[tokio::test]
async fn a_removal_overtakes_the_write_and_a_later_store_counts() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path()).await;
    for round in 0..50_u128 {
        let (head, chunks) = response("/a", 2 * round + 1, LEN);
        assert_eq!(disk.store(slot("/a"), head, chunks), Accepted::Queued);
        // At another moment of the writing each time.
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        assert!(disk.remove(slot("/a")), "round {round}: it was on its way");
        assert!(!disk.may_hold(slot("/a")), "round {round}");
        assert_eq!(look(&disk, "/a").await, Found::Nothing, "round {round}");
        disk.settled().await;
        assert_eq!(
            look(&disk, "/a").await,
            Found::Nothing,
            "round {round}, written"
        );
        store(&disk, "/a", 2 * round + 2, 100).await;
        assert_eq!(look(&disk, "/a").await, Found::Whole(2 * round + 2));
    }
    disk.close().await;
}

/// What lies in blocks that are full is found without the engine, and is never what was replaced or taken away.
#[tokio::test]
async fn what_is_read_in_place_is_what_was_written_last() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path()).await;
    for (name, body_id) in [("/kept", 1), ("/replaced", 2), ("/removed", 3)] {
        store(&disk, name, body_id, 100_000).await;
    }
    disk.close().await;
    drop(disk);
    let disk = open(dir.path()).await;
    let body_now = |name: &str| match disk.load_now(slot(name)) {
        Some(DiskRecord::Head(head)) => Some(head.body_id),
        _ => None,
    };
    for (name, body_id) in [("/kept", 1), ("/replaced", 2), ("/removed", 3)] {
        assert_eq!(body_now(name), Some(body_id), "{name}");
    }
    store(&disk, "/replaced", 4, 100_000).await;
    disk.remove(slot("/removed"));
    assert_eq!(body_now("/kept"), Some(1));
    assert_ne!(body_now("/replaced"), Some(2));
    assert_eq!(body_now("/removed"), None);
    assert_eq!(look(&disk, "/replaced").await, Found::Whole(4));
    store(&disk, "/removed", 5, 100_000).await;
    // The blocks that these lie in fill up.
    for body_id in 100..110 {
        store(&disk, &format!("/{body_id}"), body_id, 1 << 20).await;
    }
    for (name, body_id) in [("/kept", 1), ("/replaced", 4), ("/removed", 5)] {
        // The first who has to ask the engine has it looked at.
        assert_eq!(look(&disk, name).await, Found::Whole(body_id));
        until("it is looked at", || body_now(name) == Some(body_id)).await;
        assert_eq!(look(&disk, name).await, Found::Whole(body_id));
    }
    disk.close().await;
}

#[tokio::test]
async fn a_revalidated_head_goes_with_the_chunks_that_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path()).await;
    let (mut head, chunks) = response("/a", 1, LEN);
    assert_eq!(
        disk.store(slot("/a"), head.clone(), chunks),
        Accepted::Queued
    );
    disk.settled().await;
    head.generation = 99;
    assert_eq!(
        disk.store_record(slot("/a"), DiskRecord::Head(Box::new(head.clone()))),
        Accepted::Queued
    );
    disk.settled().await;
    disk.close().await;
    drop(disk);
    let disk = open(dir.path()).await;
    assert_eq!(
        disk.load(slot("/a")).await.unwrap(),
        Some(DiskRecord::Head(Box::new(head.clone())))
    );
    assert!(disk.load_chunk(1, 0, 0..CHUNK).await.unwrap().is_some());

    // A head whose chunks never came is not kept.
    head.body_id = 5;
    assert_eq!(
        disk.store_record(slot("/b"), DiskRecord::Head(Box::new(head))),
        Accepted::Queued
    );
    disk.settled().await;
    assert_eq!(look(&disk, "/b").await, Found::Nothing);
    disk.close().await;
}

#[tokio::test]
async fn only_whole_bodies_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path()).await;
    let (head, mut chunks) = response("/a", 1, LEN);
    let last = chunks.pop().unwrap();
    assert_eq!(
        disk.store(slot("/a"), head.clone(), chunks.clone()),
        Accepted::Dropped
    );
    chunks.push(last.slice(1..));
    assert_eq!(
        disk.store(slot("/a"), head.clone(), chunks.clone()),
        Accepted::Dropped
    );
    chunks.push(last);
    assert_eq!(disk.store(slot("/a"), head, chunks), Accepted::Dropped);
    disk.close().await;
}

#[tokio::test]
async fn old_responses_leave_whole_or_with_a_hole_and_never_with_other_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path()).await;
    // Three times what fits, with a restart in the middle of each third.
    let mut disk = disk;
    let name = |body_id: u128| format!("/{body_id}");
    for body_id in 1..=96_u128 {
        store(
            &disk,
            &name(body_id),
            body_id,
            (2 << 20) + u64::try_from(body_id).unwrap(),
        )
        .await;
        if body_id % 32 == 16 {
            disk.close().await;
            drop(disk);
            disk = open(dir.path()).await;
        }
    }
    let mut whole = Vec::new();
    // The newest first, because looking at the oldest keeps them.
    for body_id in (1..=96).rev() {
        if look(&disk, &name(body_id)).await == Found::Whole(body_id) {
            whole.push(body_id);
        }
    }
    // The newest are there, in one run: what was written first left first, over restarts too.
    assert!(whole.len() >= 16, "{} fit", whole.len());
    let run: Vec<u128> = (77..=96).rev().take(16).collect();
    assert_eq!(whole[..16], run);
    assert!(whole.iter().all(|body_id| *body_id > 60), "{whole:?}");
    disk.close().await;
    let bytes: u64 = fs::read_dir(dir.path().join("blocks"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(bytes <= config(dir.path()).bytes, "{bytes} on the disk");
}

#[tokio::test]
async fn what_is_asked_for_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut disk = open(dir.path()).await;
    store(&disk, "/asked", 1, LEN).await;
    store(&disk, "/forgotten", 2, LEN).await;
    // Four times what fits.
    for body_id in 10..138_u128 {
        store(&disk, &format!("/{body_id}"), body_id, 2 << 20).await;
        assert_eq!(
            look(&disk, "/asked").await,
            Found::Whole(1),
            "after {body_id}"
        );
        disk.settled().await;
        if body_id == 70 {
            disk.close().await;
            drop(disk);
            disk = open(dir.path()).await;
        }
    }
    assert_eq!(look(&disk, "/forgotten").await, Found::Nothing);
    disk.close().await;
}

/// Makes every block look full: what is empty gets the content of one that is not.
fn fill_every_block(dir: &Path) {
    let mut blocks: Vec<_> = fs::read_dir(dir.join("blocks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.to_str().unwrap().ends_with("-00000000"))
        .collect();
    blocks.sort();
    let is_empty = |path: &std::path::PathBuf| {
        let mut page = [0; 4096];
        let file = fs::File::open(path).unwrap();
        file.read_exact_at(&mut page, 0).unwrap();
        page == [0; 4096]
    };
    let (empty, full): (Vec<_>, Vec<_>) = blocks.into_iter().partition(is_empty);
    assert!(!full.is_empty() && !empty.is_empty());
    for path in empty {
        fs::copy(&full[0], path).unwrap();
    }
}

#[tokio::test]
async fn a_disk_that_was_left_without_an_empty_block_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path()).await;
    for body_id in 1..=48 {
        store(&disk, &format!("/{body_id}"), body_id, 2 << 20).await;
    }
    disk.close().await;
    drop(disk);
    fill_every_block(dir.path());
    let disk = open(dir.path()).await;
    for body_id in 1..=48 {
        store(&disk, &format!("/{body_id}"), body_id + 100, 2 << 20).await;
        assert_eq!(
            look(&disk, &format!("/{body_id}")).await,
            Found::Whole(body_id + 100)
        );
    }
    disk.close().await;
}

/// Changes one byte in each page-sized step of every block but its index page.
fn damage(dir: &Path, step: usize) {
    const PAGE: u64 = 4096;
    for entry in fs::read_dir(dir.join("blocks")).unwrap() {
        let path = entry.unwrap().path();
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        let pages = file.metadata().unwrap().len() / PAGE;
        for page in (1..pages).step_by(step) {
            let at = page * PAGE + 60;
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
        }
    }
}

#[tokio::test]
async fn damaged_bytes_are_a_hole_and_never_served() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path()).await;
    store(&disk, "/a", 1, 8 << 20).await;
    disk.close().await;
    drop(disk);
    // Some of its chunks: a chunk is 64 pages and a bit.
    damage(dir.path(), 150);
    let disk = open(dir.path()).await;
    let found = look(&disk, "/a").await;
    assert!(
        matches!(found, Found::Holes(1, missing) if (1..32).contains(&missing)),
        "{found:?}"
    );
    // A head with a hole is not given out again.
    assert_eq!(look(&disk, "/a").await, Found::Nothing);
    // Stored again, it is whole.
    store(&disk, "/a", 2, 8 << 20).await;
    assert_eq!(look(&disk, "/a").await, Found::Whole(2));
    disk.close().await;
    drop(disk);

    // Every record.
    damage(dir.path(), 1);
    let disk = open(dir.path()).await;
    assert_eq!(look(&disk, "/a").await, Found::Nothing);
    disk.close().await;
}

#[tokio::test]
async fn another_lineage_or_size_finds_an_empty_folder() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path()).await;
    store(&disk, "/a", 1, LEN).await;
    disk.close().await;
    drop(disk);
    let open_as = async |lineage, bytes| {
        let config = DiskConfig {
            bytes,
            ..config(dir.path())
        };
        Disk::open(&config, lineage, SystemClock::shared(), &Registry::new())
            .await
            .unwrap()
    };
    for (lineage, bytes) in [(LINEAGE + 1, 64 << 20), (LINEAGE + 1, 80 << 20)] {
        let disk = open_as(lineage, bytes).await;
        assert_eq!(look(&disk, "/a").await, Found::Nothing);
        store(&disk, "/a", 1, LEN).await;
        disk.close().await;
    }
    let disk = open_as(LINEAGE + 1, 80 << 20).await;
    assert_eq!(look(&disk, "/a").await, Found::Whole(1));
    disk.close().await;
}

#[tokio::test]
async fn a_full_queue_drops_and_counts() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::new();
    let config = DiskConfig {
        queue_bytes_max: 2 << 20,
        ..config(dir.path())
    };
    let disk = Disk::open(&config, LINEAGE, SystemClock::shared(), &registry)
        .await
        .unwrap();
    // No writing happens between these: nothing is awaited on the one thread of this test.
    let mut queued = 0;
    for body_id in 0..8 {
        let (head, chunks) = response(&format!("/{body_id}"), body_id, 1 << 20);
        if disk.store(slot(&format!("/{body_id}")), head, chunks) == Accepted::Queued {
            queued += 1;
        }
    }
    assert_eq!(queued, 1, "a megabyte and its head twice do not fit");
    disk.settled().await;
    let written = |outcome: &str| {
        let families = registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == "mcsp_cache_disk_writes_total")
            .unwrap();
        family
            .get_metric()
            .iter()
            .find(|metric| metric.get_label()[0].value() == outcome)
            .map_or(0.0, |metric| metric.get_counter().get_value())
    };
    assert_eq!(written("refused"), 7.0);
    assert_eq!(written("written"), 1.0);
    assert_eq!(look(&disk, "/0").await, Found::Whole(0));
    disk.close().await;
}

/// What was written is read where it lies from then on, in the block that is being written as in full ones: nobody's first
/// answer has to wait for another thread.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_just_written_is_there_at_once() {
    let root = tempfile::tempdir().unwrap();
    let disk = open(&root.path().join("cache")).await;
    let body_now = |name: &str| match disk.load_now(slot(name)) {
        Some(DiskRecord::Head(head)) => Some(head.body_id),
        _ => None,
    };
    store(&disk, "/a", 1, 1000).await;
    assert_eq!(body_now("/a"), Some(1));
    store(&disk, "/a", 2, 1000).await;
    assert_eq!(body_now("/a"), Some(2), "another took its place");
    disk.remove(slot("/a"));
    assert_eq!(body_now("/a"), None);
    store(&disk, "/a", 3, 1000).await;
    assert_eq!(body_now("/a"), Some(3));
    // Through several blocks of 4 MiB, and over the oldest: there are less than 64 MiB.
    for n in 10..100 {
        let (name, len) = (format!("/{n}"), 1 << 20);
        store(&disk, &name, n, len).await;
        assert_eq!(body_now(&name), Some(n));
        let (head, chunks) = response(&name, n, len);
        for (index, chunk) in (0..).zip(chunks) {
            let within = 0..u32::try_from(chunk.len()).unwrap();
            let found = disk.load_chunk_now(head.body_id, index, within);
            assert!(found == Some(chunk), "chunk {index} of {name}");
        }
    }
    // Whatever is found of what has left is what was written there.
    for n in 10..100 {
        let name = format!("/{n}");
        assert!(body_now(&name).is_none_or(|found| found == n), "{name}");
    }
    assert_eq!(look(&disk, "/99").await, Found::Whole(99));
}
