//! What operators are told of a key: memory and the disk, and nothing changes by it.

use std::slice;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::header::ACCEPT_ENCODING;
use mcsp_edge_cache::engine::{
    Backing, DiskError, DiskInspection, DiskTier as _, HeldIn, Inspection, Key, Lookup, MissReason,
    OnDisk, PurgeFile, PurgeSelector, Variant, VariantInspection,
};

use crate::disk_faulty::{Mood, Setup};
use crate::disk_support::{self, slot};
use crate::memory_disk::MemoryDisk;
use crate::support::{CHUNK, Harness, any, drain, headers, lead, pattern, small, whole};

const KEY: &str = "/media/ng/c/a";
const FIELDS: &[(&str, &str)] = &[
    ("surrogate-key", "t u"),
    ("etag", "\"1\""),
    ("last-modified", "Sun, 22 Nov 2026 00:00:00 GMT"),
];

/// A cache on a disk of its own that can be started again.
struct Machine {
    disk: Arc<MemoryDisk>,
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        Self {
            disk: MemoryDisk::new(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn start(&self) -> Harness {
        Harness::backed(
            small(),
            Backing {
                tier: self.disk.clone(),
                purges: Box::new(PurgeFile::new(self.folder.path().join("purges"))),
            },
        )
    }
}

async fn inspect(harness: &Harness, request: &HeaderMap) -> Inspection {
    harness.cache.inspect(Key::new(KEY), request).await
}

/// The only one.
async fn variant(harness: &Harness) -> VariantInspection {
    let inspection = inspect(harness, &any()).await;
    let [variant] = inspection.variants.as_slice() else {
        panic!("{inspection:?}");
    };
    variant.clone()
}

fn is_on_disk(harness: &Harness) -> bool {
    let found = harness.cache.lookup(Key::new(KEY), &any());
    matches!(found, Lookup::OnDisk)
}

async fn store_variant(harness: &Harness, request: &HeaderMap) {
    let ticket = harness.cache.ticket();
    // It is fetched anew, whatever was there.
    let known = harness.hit_for(KEY, request);
    let join = harness
        .cache
        .join(Key::new(KEY), request, ticket, known.as_ref());
    let mut response = harness.whole(Some(1), &[]);
    response.variant = Variant::of([ACCEPT_ENCODING], request);
    let mut filling = lead(join).begin(response).unwrap();
    filling.write(Bytes::from_static(b"x")).await.unwrap();
    filling.complete().unwrap();
}

#[tokio::test]
async fn what_only_the_disk_has_is_told_as_what_memory_has_and_stays_where_it_is() {
    let machine = Machine::new();
    let body = pattern(2 * CHUNK + 5);
    let harness = machine.start();
    harness.store(KEY, &body, FIELDS).await;
    let before = variant(&harness).await;
    assert_eq!((before.held_in, before.state), (HeldIn::Both, "fresh"));
    assert!(before.is_complete);
    assert_eq!(before.held_bytes, body.len() as u64);
    assert_eq!(before.etag.as_deref(), Some("\"1\""));
    assert_eq!(before.last_modified.as_deref(), Some(FIELDS[2].1));
    assert_eq!(before.surrogate_keys, ["t", "u"]);
    let all = OnDisk {
        bytes: body.len() as u64,
        chunks: 3,
        chunks_total: 3,
        is_whole: true,
    };
    assert_eq!(before.on_disk, Some(all));

    let harness = machine.start();
    for _ in 0..3 {
        let inspection = inspect(&harness, &any()).await;
        assert_eq!(inspection.missed, None, "the disk serves it");
        let held = DiskInspection::Held {
            varies_by: Vec::new(),
        };
        assert_eq!(inspection.disk, held);
        let expected = VariantInspection {
            held_in: HeldIn::Disk,
            held_bytes: 0,
            is_complete: false,
            ..before.clone()
        };
        assert_eq!(inspection.variants, [expected]);
    }
    // It did not enter memory, and counts as no request for it.
    assert!(is_on_disk(&harness));
    assert_eq!((harness.cache.bytes(), harness.cache.used_bytes()), (0, 0));
    assert_eq!(
        (machine.disk.record_loads(), machine.disk.chunk_loads()),
        (0, 0)
    );
    let entity = harness.hit_or_load(KEY, &any()).await.unwrap();
    let here = variant(&harness).await;
    assert_eq!((here.held_in, here.is_complete), (HeldIn::Both, false));
    assert_eq!(drain(whole(&entity)).await, Ok(body));
    assert_eq!(variant(&harness).await, before);
}

#[tokio::test]
async fn what_left_memory_for_room_and_is_on_disk_is_not_called_evicted() {
    let machine = Machine::new();
    let harness = machine.start();
    harness.store(KEY, b"short", FIELDS).await;
    for n in 0..12 {
        harness.store(&format!("/{n}"), &[0; 1 << 20], &[]).await;
    }
    assert!(harness.hit(KEY).is_none(), "it left memory");
    let inspection = inspect(&harness, &any()).await;
    assert_eq!(inspection.missed, None);
    let [variant] = inspection.variants.as_slice() else {
        panic!("{inspection:?}");
    };
    assert_eq!(variant.held_in, HeldIn::Disk);
    // It lies with its head.
    let whole = OnDisk {
        bytes: 5,
        chunks: 0,
        chunks_total: 0,
        is_whole: true,
    };
    assert_eq!(variant.on_disk, Some(whole));
    // Where there is no disk it is.
    let harness = Harness::new();
    let inspection = inspect(&harness, &any()).await;
    assert_eq!(inspection.disk, DiskInspection::Absent);
    assert_eq!(inspection.missed, Some(MissReason::NeverSeen));
}

#[tokio::test]
async fn what_has_begun_to_leave_the_disk_is_told_of_and_not_called_held() {
    let machine = Machine::new();
    machine
        .start()
        .store(KEY, &pattern(2 * CHUNK + 5), FIELDS)
        .await;
    machine.disk.lose_chunks(1);
    let harness = machine.start();
    let inspection = inspect(&harness, &any()).await;
    assert_eq!(inspection.missed, Some(MissReason::Evicted));
    let part = OnDisk {
        bytes: (CHUNK + 5) as u64,
        chunks: 2,
        chunks_total: 3,
        is_whole: false,
    };
    assert_eq!(inspection.variants[0].on_disk, Some(part));
}

#[tokio::test]
async fn purges_are_held_against_what_only_the_disk_has() {
    for is_soft in [true, false] {
        let machine = Machine::new();
        machine.start().store(KEY, b"body", FIELDS).await;
        // It is not in memory when it is purged, so that the disk keeps it.
        let harness = machine.start();
        harness.purge(PurgeSelector::SurrogateKey("u".into()), is_soft);
        let inspection = inspect(&harness, &any()).await;
        let state = inspection.variants[0].state;
        let is_given = harness.hit_or_load(KEY, &any()).await.is_some();
        assert_eq!(is_given, is_soft);
        if is_soft {
            assert_eq!((state, inspection.missed), ("expired", None));
        } else {
            assert_eq!(state, "purged");
            assert_eq!(inspection.missed, Some(MissReason::Purged));
            let inspection = inspect(&harness, &any()).await;
            assert_eq!(inspection.missed, Some(MissReason::Purged));
            assert_eq!(inspection.disk, DiskInspection::NotHeld);
            assert!(inspection.variants.is_empty());
        }
    }
}

#[tokio::test]
async fn a_disk_that_does_not_answer_leaves_it_open_what_it_has() {
    let machine = Machine::new();
    machine.start().store(KEY, b"body", FIELDS).await;
    let harness = machine.start();
    machine.disk.fail(true);
    let inspection = inspect(&harness, &any()).await;
    let DiskInspection::Unknown { reason } = &inspection.disk else {
        panic!("{inspection:?}");
    };
    assert!(reason.contains("told to"), "{reason}");
    assert_eq!(inspection.missed, Some(MissReason::DiskUnknown));
    assert!(inspection.variants.is_empty());
    // What memory has is told all the same.
    machine.disk.fail(false);
    harness.hit_or_load(KEY, &any()).await.unwrap();
    machine.disk.fail(true);
    let inspection = inspect(&harness, &any()).await;
    assert_eq!(inspection.missed, None);
    assert_eq!(inspection.variants[0].held_in, HeldIn::Memory);
    assert!(matches!(inspection.disk, DiskInspection::Unknown { .. }));
    // What memory knows to be so is no question of the disk's.
    harness.purge(PurgeSelector::Key(KEY.into()), false);
    let inspection = inspect(&harness, &any()).await;
    assert_eq!(inspection.missed, Some(MissReason::Purged));
}

#[tokio::test]
async fn a_variant_that_only_the_disk_knows_is_found_by_its_request() {
    let machine = Machine::new();
    let harness = machine.start();
    let [gzip, br] = ["gzip", "br"].map(|coding| headers(&[("accept-encoding", coding)]));
    store_variant(&harness, &gzip).await;
    store_variant(&harness, &br).await;
    let held_in = |inspection: &Inspection| -> Vec<(String, HeldIn)> {
        let variants = inspection.variants.iter();
        variants
            .map(|variant| (variant.vary[0].clone(), variant.held_in))
            .collect()
    };
    let both = inspect(&harness, &any()).await;
    let known = [("gzip", HeldIn::Both), ("br", HeldIn::Both)];
    let known = known.map(|(coding, held)| (format!("accept-encoding: {coding}"), held));
    assert_eq!(held_in(&both), known);

    let harness = machine.start();
    let inspection = inspect(&harness, &any()).await;
    let varies = DiskInspection::Held {
        varies_by: vec![vec!["accept-encoding".to_owned()]],
    };
    assert_eq!((&inspection.disk, inspection.variants.len()), (&varies, 0));
    assert_eq!(inspection.missed, Some(MissReason::Variant));
    let inspection = inspect(&harness, &gzip).await;
    let found = ("accept-encoding: gzip".to_owned(), HeldIn::Disk);
    assert_eq!(held_in(&inspection), slice::from_ref(&found));
    assert_eq!(inspection.missed, None);
    // One comes back, and the other is found beside it.
    harness.hit_or_load(KEY, &br).await.unwrap();
    let here = ("accept-encoding: br".to_owned(), HeldIn::Both);
    assert_eq!(held_in(&inspect(&harness, &gzip).await), [here, found]);
}

#[tokio::test]
async fn a_variant_whose_set_is_gone_is_not_called_held() {
    let machine = Machine::new();
    let harness = machine.start();
    let [gzip, br] = ["gzip", "br"].map(|coding| headers(&[("accept-encoding", coding)]));
    store_variant(&harness, &gzip).await;
    // A response that does not vary takes the place of all, and then another set begins.
    harness.store(KEY, b"same for all", &[]).await;
    harness.purge(PurgeSelector::Key("/other".into()), false);
    store_variant(&harness, &br).await;
    let harness = machine.start();
    let inspection = inspect(&harness, &gzip).await;
    assert!(harness.hit_or_load(KEY, &gzip).await.is_none());
    assert_eq!(inspection.variants[0].state, "outdated", "{inspection:?}");
    assert_eq!(inspection.missed, Some(MissReason::Purged));
}

#[tokio::test]
async fn looking_at_what_is_about_to_leave_the_disk_keeps_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let disk = disk_support::open(dir.path()).await;
    disk_support::store(&disk, "/looked-at", 1, 2 << 20).await;
    let (mut last, mut is_there) = (8, true);
    // Twice what fits.
    for body_id in 10..74_u128 {
        disk_support::store(&disk, &format!("/{body_id}"), body_id, 2 << 20).await;
        let found = disk.examine(slot("/looked-at")).await.unwrap();
        disk.settled().await;
        if let Some(found) = &found {
            assert_eq!(found.chunks_total, 8);
            assert_eq!(found.bytes, u64::from(found.chunks) << 18);
        }
        is_there = found.is_some();
        let chunks = found.map_or(0, |found| found.chunks);
        assert!(chunks <= last, "nothing of it is written again");
        last = chunks;
    }
    assert_eq!((last, is_there), (0, false), "its head left, too");
    disk.close().await;
}

#[tokio::test]
async fn a_disk_is_waited_for_no_longer_than_a_request_would() {
    const DEADLINE_MS: u64 = 2_000;
    let setup = Setup::new(DEADLINE_MS).await;
    let found = setup.disk.examine(slot("/old")).await.unwrap().unwrap();
    assert_eq!((found.chunks, found.bytes), (4, 1 << 20));
    assert_eq!(setup.disk.examine(slot("/none")).await.unwrap(), None);
    setup.faults.mood.send_replace(Mood::Stuck);
    let late = setup.disk.examine(slot("/old")).await.unwrap_err();
    assert!(
        matches!(
            late,
            DiskError::TooSlow {
                deadline_ms: DEADLINE_MS
            }
        ),
        "{late}"
    );
    setup.faults.mood.send_replace(Mood::Unreadable);
    for _ in 0..4 {
        let refused = setup.disk.examine(slot("/old")).await.unwrap_err();
        assert!(refused.to_string().contains("no reading"), "{refused}");
    }
    // A disk that answers nobody is left alone by operators, too.
    let refused = setup.disk.examine(slot("/old")).await.unwrap_err();
    assert!(matches!(refused, DiskError::Degraded), "{refused}");
    setup.faults.mood.send_replace(Mood::Well);
    setup.comes_back().await;
}
