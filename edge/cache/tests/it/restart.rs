//! What outlives a restart, and what must not.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::ACCEPT_ENCODING;
use mcsp_edge_cache::engine::{
    Backing, Cache, CacheError, Key, LogRecord, Lookup, MissReason, NotDurable, Purge, PurgeFile,
    PurgeSelector, PurgeSnapshot, PurgeStore, ReadError, Variant,
};
use mcsp_runtime::ManualClock;
use prometheus::Registry;

use crate::memory_disk::MemoryDisk;
use crate::support::{
    CHUNK, Harness, NOW_MS, any, assert_read, drain, headers, lead, pattern, small, whole,
};

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

#[tokio::test]
async fn a_restart_keeps_heads_bodies_and_tags() {
    let machine = Machine::new();
    let body = pattern(2 * CHUNK + 5);
    let harness = machine.start();
    let fields = [("surrogate-key", "t"), ("etag", "\"1\"")];
    harness.store("/a", &body, &fields).await;
    harness.store("/small", b"x", &[]).await;
    let harness = machine.start();
    assert!(matches!(
        harness.cache.lookup(Key::new("/a"), &any()),
        Lookup::OnDisk
    ));
    let entity = harness.hit_or_load("/a", &any()).await.unwrap();
    assert_eq!(entity.head().headers["etag"], "\"1\"");
    assert_eq!(entity.total_len(), Some(body.len() as u64));
    assert_eq!(entity.tags().len(), 1);
    assert!(entity.is_fresh(NOW_MS));
    // The last byte does not wait for those before it.
    let last = body.len() as u64 - 1;
    assert_read(
        &drain(entity.reader(last..last + 1)).await,
        &body[body.len() - 1..],
    );
    assert!(!entity.is_complete());
    let readers: Vec<_> = (0..10).map(|_| drain(whole(&entity))).collect();
    for read in futures::future::join_all(readers).await {
        assert_read(&read, &body);
    }
    assert_eq!(
        machine.disk.chunk_loads(),
        3,
        "each chunk was loaded once for all"
    );
    assert!(harness.hit("/a").unwrap().is_complete());
    let small = harness.hit_or_load("/small", &any()).await.unwrap();
    assert!(small.is_complete(), "what has one chunk is whole at once");
}

#[tokio::test]
async fn what_left_memory_comes_back_from_disk() {
    let machine = Machine::new();
    let harness = machine.start();
    for n in 0..30 {
        harness
            .store(&format!("/{n}"), &pattern(600_000), &[])
            .await;
    }
    for n in 0..30 {
        let entity = harness.hit_or_load(&format!("/{n}"), &any()).await.unwrap();
        assert_read(&drain(whole(&entity)).await, &pattern(600_000));
        assert!(harness.cache.used_bytes() <= small().memory_bytes);
    }
}

#[tokio::test]
async fn a_purge_holds_over_restarts() {
    for (index, selector) in [
        PurgeSelector::Key("/media/ng/c/a".into()),
        PurgeSelector::Prefix("/media/ng/".into()),
        PurgeSelector::SurrogateKey("t".into()),
        PurgeSelector::ContentId("c".into()),
        PurgeSelector::Everything,
    ]
    .into_iter()
    .enumerate()
    {
        let machine = Machine::new();
        let harness = machine.start();
        harness
            .store("/media/ng/c/a", b"old", &[("surrogate-key", "t")])
            .await;
        // It left memory, so the purge does not meet it.
        let harness = {
            drop(harness);
            machine.start()
        };
        let soft = index % 2 == 0;
        harness.purge(selector.clone(), soft);
        harness.cache.flush_purges().await.unwrap();
        let harness = {
            drop(harness);
            machine.start()
        };
        let found = harness.hit_or_load("/media/ng/c/a", &any()).await;
        if soft {
            let entity = found.expect("soft purges keep it");
            assert!(
                entity.is_expired() && !entity.is_fresh(NOW_MS),
                "{selector:?}"
            );
        } else {
            assert!(found.is_none(), "{selector:?}");
            assert_eq!(
                harness
                    .cache
                    .inspect(Key::new("/media/ng/c/a"), &any())
                    .await
                    .missed,
                Some(MissReason::Purged)
            );
        }
        // What is fetched after the purge is kept again.
        harness.purge(PurgeSelector::Everything, false);
        harness.store("/media/ng/c/a", b"new", &[]).await;
        let harness = machine.start();
        let entity = harness.hit_or_load("/media/ng/c/a", &any()).await.unwrap();
        assert_eq!(drain(whole(&entity)).await, Ok(b"new".to_vec()));
    }
}

#[tokio::test]
async fn a_revalidated_head_outlives_a_restart_and_a_soft_purge_before_it() {
    let machine = Machine::new();
    let harness = machine.start();
    harness.store("/a", b"body", &[]).await;
    harness.purge(PurgeSelector::Everything, true);
    let entity = harness.hit("/a").unwrap();
    let head = harness.head(&[("etag", "\"2\"")]);
    let ticket = harness.cache.ticket();
    assert_eq!(harness.cache.update_head(&entity, ticket, head), Ok(true));
    harness.cache.flush_purges().await.unwrap();
    let harness = machine.start();
    let entity = harness.hit_or_load("/a", &any()).await.unwrap();
    assert_eq!(entity.head().headers["etag"], "\"2\"");
    assert!(entity.is_fresh(NOW_MS));
    assert_eq!(drain(whole(&entity)).await, Ok(b"body".to_vec()));
}

#[tokio::test]
async fn variants_outlive_a_restart() {
    let machine = Machine::new();
    let harness = machine.start();
    for coding in ["gzip", "br"] {
        let request = headers(&[("accept-encoding", coding)]);
        let key = Key::new("/a");
        let join = harness
            .cache
            .join(key, &request, harness.cache.ticket(), None);
        let mut response = harness.whole(None, &[]);
        response.variant = Variant::of([ACCEPT_ENCODING], &request);
        let mut filling = lead(join).begin(response).unwrap();
        filling.write(Bytes::from(coding)).await.unwrap();
        filling.complete().unwrap();
    }
    let harness = machine.start();
    // Of what is there for others it is told that it is there, whether any of it is in memory or none.
    let is_told = async || {
        let found = harness.cache.load(Key::new("/a"), &any()).await;
        assert!(
            matches!(found, Lookup::Miss(MissReason::Variant)),
            "{found:?}"
        );
    };
    is_told().await;
    for coding in ["br", "gzip"] {
        let request = headers(&[("accept-encoding", coding)]);
        let entity = harness.hit_or_load("/a", &request).await.unwrap();
        assert_eq!(drain(whole(&entity)).await, Ok(coding.as_bytes().to_vec()));
    }
    assert!(harness.hit_or_load("/a", &any()).await.is_none());
    is_told().await;
    let found = harness.cache.load(Key::new("/b"), &any()).await;
    assert!(matches!(found, Lookup::Miss(MissReason::NeverSeen)));
}

#[tokio::test]
async fn many_that_ask_at_once_load_once() {
    let machine = Machine::new();
    let harness = machine.start();
    harness.store("/a", &pattern(CHUNK), &[]).await;
    let harness = machine.start();
    let request = any();
    let loads = (0..50).map(|_| harness.cache.load(Key::new("/a"), &request));
    for found in futures::future::join_all(loads).await {
        assert!(matches!(found, Lookup::Hit(_)));
    }
    assert_eq!(
        (machine.disk.record_loads(), machine.disk.chunk_loads()),
        (1, 1)
    );
}

/// A short body comes with its head, and still does when that is brought up to date.
#[tokio::test]
async fn a_short_body_is_read_with_its_head() {
    let machine = Machine::new();
    let harness = machine.start();
    harness.store("/a", &pattern(1000), &[]).await;
    let entity = harness.hit("/a").unwrap();
    let newer = harness.head(&[("x-newer", "1")]);
    let ticket = harness.cache.ticket();
    assert_eq!(harness.cache.update_head(&entity, ticket, newer), Ok(true));
    let harness = machine.start();
    let entity = harness.hit_or_load("/a", &any()).await.unwrap();
    assert!(entity.is_complete());
    assert!(entity.head().headers.contains_key("x-newer"));
    assert_read(&drain(whole(&entity)).await, &pattern(1000));
    assert_eq!(
        (machine.disk.record_loads(), machine.disk.chunk_loads()),
        (1, 0)
    );
    harness.purge(PurgeSelector::Key("/a".into()), false);
    assert!(entity.is_purged());
    let harness = machine.start();
    assert!(harness.hit_or_load("/a", &any()).await.is_none());
}

/// They lie in one piece of memory, which is held while either is.
#[tokio::test]
async fn a_body_that_came_with_its_head_counts_for_both() {
    let machine = Machine::new();
    let harness = machine.start();
    harness.store("/a", &pattern(1000), &[]).await;
    let entity = harness.hit("/a").unwrap();
    let long = "x".repeat(20_000);
    let ticket = harness.cache.ticket();
    let head = harness.head(&[("x-long", &long)]);
    assert_eq!(harness.cache.update_head(&entity, ticket, head), Ok(true));
    let harness = machine.start();
    let entity = harness.hit_or_load("/a", &any()).await.unwrap();
    let (held, ticket) = (harness.cache.used_bytes(), harness.cache.ticket());
    let head = harness.head(&[]);
    assert_eq!(harness.cache.update_head(&entity, ticket, head), Ok(true));
    let used = harness.cache.used_bytes();
    assert!(used < held, "the head's own share is back");
    assert!(used > 21_000, "{used} bytes of a record of more");
}

#[tokio::test]
async fn a_chunk_that_is_lost_is_a_hole() {
    let machine = Machine::new();
    let harness = machine.start();
    harness.store("/a", &pattern(2 * CHUNK), &[]).await;
    let harness = machine.start();
    machine.disk.lose_chunks(1);
    let entity = harness.hit_or_load("/a", &any()).await.unwrap();
    let read = drain(whole(&entity)).await.map(|body| body.len());
    assert_eq!(read, Err(ReadError::Hole { at: CHUNK as u64 }));
    assert!(!entity.is_complete());
}

#[tokio::test]
async fn nothing_dies_with_the_disk() {
    let machine = Machine::new();
    let harness = machine.start();
    harness.store("/a", b"a", &[]).await;
    let harness = machine.start();
    machine.disk.fail(true);
    assert!(harness.hit_or_load("/a", &any()).await.is_none());
    harness.store("/b", b"b", &[]).await;
    assert!(harness.hit("/b").is_some(), "memory goes on");
    assert_eq!(harness.counter("mcsp_cache_disk_total", "dropped"), 1);
}

#[tokio::test]
async fn what_the_disk_dropped_does_not_leave_its_forerunner_behind() {
    let machine = Machine::new();
    let harness = machine.start();
    harness.store("/a", b"old", &[]).await;
    let known = harness.hit("/a").unwrap();
    machine.disk.drop_stores(true);
    let ticket = harness.cache.ticket();
    let join = harness
        .cache
        .join(Key::new("/a"), &any(), ticket, Some(&known));
    lead(join)
        .begin(harness.whole(Some(0), &[]))
        .unwrap()
        .complete()
        .unwrap();
    let harness = machine.start();
    assert!(harness.hit_or_load("/a", &any()).await.is_none());
}

#[test]
fn a_damaged_purge_log_makes_all_older_responses_count_as_purged() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let machine = Machine::new();
        let harness = machine.start();
        harness.store("/a", b"a", &[]).await;
        harness.purge(PurgeSelector::Key("/x".into()), false);
        harness.cache.flush_purges().await.unwrap();
        drop(harness);
        let path = machine.folder.path().join("purges");
        let mut log = std::fs::read(&path).unwrap();
        let middle = log.len() / 2;
        log[middle] ^= 1;
        std::fs::write(&path, log).unwrap();
        let harness = machine.start();
        assert!(harness.hit_or_load("/a", &any()).await.is_none());
        harness.store("/b", b"b", &[]).await;
        let harness = machine.start();
        assert!(harness.hit_or_load("/b", &any()).await.is_some());
    });
}

/// A store that fails when it is told to.
#[derive(Debug, Default, Clone)]
struct Flaky(Arc<parking_lot::Mutex<(PurgeSnapshot, bool)>>);

impl PurgeStore for Flaky {
    fn load(&mut self) -> io::Result<PurgeSnapshot> {
        Ok(self.0.lock().0.clone())
    }

    fn replace(&mut self, snapshot: &PurgeSnapshot) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.1 {
            return Err(io::Error::other("no"));
        }
        state.0 = snapshot.clone();
        Ok(())
    }

    fn append(&mut self, records: &[LogRecord]) -> io::Result<()> {
        let mut state = self.0.lock();
        if state.1 {
            return Err(io::Error::other("no"));
        }
        for record in records {
            match record {
                LogRecord::Purge(record) => state.0.records.push(record.clone()),
                LogRecord::Invalidation(record) => state.0.invalidated.push(*record),
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_purge_that_could_not_be_written_is_said_and_made_up_for() {
    let store = Flaky::default();
    let backing = || Backing {
        tier: MemoryDisk::new(),
        purges: Box::new(store.clone()),
    };
    let harness = Harness::backed(small(), backing());
    let key = |n: u64| PurgeSelector::Key(format!("/{n}").into());
    harness.purge(key(1), false);
    harness.cache.flush_purges().await.unwrap();
    store.0.lock().1 = true;
    harness.purge(key(2), false);
    assert_eq!(harness.cache.flush_purges().await, Err(NotDurable));
    harness.purge(key(3), false);
    assert_eq!(harness.cache.flush_purges().await, Err(NotDurable));
    store.0.lock().1 = false;
    harness.purge(key(4), false);
    harness.cache.flush_purges().await.unwrap();
    let held: Vec<_> = store
        .0
        .lock()
        .0
        .records
        .iter()
        .map(|record| record.purge.clone())
        .collect();
    let wanted: Vec<_> = (1..=4)
        .map(|n| Purge {
            selector: key(n),
            soft: false,
        })
        .collect();
    assert_eq!(held, wanted);
    // Without a purge log there is no disk tier.
    store.0.lock().1 = true;
    let opened = Cache::open_with(small(), ManualClock::new(0), &Registry::new(), backing());
    assert!(matches!(opened, Err(CacheError::Purges(_))));
}
