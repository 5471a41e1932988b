//! What clients' unsafe requests take away (RFC 9111 section 4.4), however many there are.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;
use mcsp_edge_cache::engine::{
    Backing, Filling, Join, Key, LogRecord, Lookup, MissReason, NotDurable, PURGE_BYTES_MAX,
    PurgeFile, PurgeSelector, PurgeSnapshot, PurgeStore, Stored, Variant,
};
use parking_lot::{Condvar, Mutex};

use crate::memory_disk::MemoryDisk;
use crate::support::{Harness, any, headers, lead, small};

const MEDIA: &str = "/media/ng/c/a";
const HELD: &str = "http://a/held";
const TAKEN: &str = "http://a/taken";
/// Keys that are remembered one by one.
const KEYS_MAX: usize = 65_536;
/// More than that.
const MANY: usize = 70_000;

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
                purges: Box::new(PurgeFile::new(self.log())),
            },
        )
    }

    fn log(&self) -> std::path::PathBuf {
        self.folder.path().join("purges")
    }

    /// With each of these on disk and none in memory.
    async fn holding(&self, keys: &[&str]) -> Harness {
        let harness = self.start();
        for key in keys {
            harness.store(key, key.as_bytes(), &[]).await;
        }
        drop(harness);
        self.start()
    }
}

fn invalidate(harness: &Harness, key: &str) {
    harness.cache.invalidate(Key::new(key));
    assert!(harness.cache.purge_bytes() <= PURGE_BYTES_MAX as u64);
}

/// Invalidates so many keys that nobody has stored.
fn flood(harness: &Harness, keys: usize, path_bytes: usize) {
    let mut key = format!("http://a/{}", "x".repeat(path_bytes));
    let end = key.len();
    for n in 0..keys {
        key.truncate(end);
        key.push_str(&n.to_string());
        invalidate(harness, &key);
    }
}

async fn is_served(harness: &Harness, key: &str) -> bool {
    harness.hit_or_load(key, &any()).await.is_some()
}

async fn finish(mut filling: Filling) -> Stored {
    filling.write(Bytes::from_static(b"body")).await.unwrap();
    filling.complete().unwrap()
}

#[tokio::test]
async fn no_number_of_invalidations_takes_memory_or_what_they_do_not_name() {
    let machine = Machine::new();
    let others = ["http://a/1", "http://a/2", "/media/ng/c/b"];
    let harness = machine
        .holding(&[&[MEDIA, HELD, TAKEN], &others[..]].concat())
        .await;
    let of_taken = harness.begin("http://a/filling", Some(4));
    let of_media = harness.begin("/media/ng/c/filling", Some(4));
    let ticket = harness.cache.ticket();
    invalidate(&harness, TAKEN);
    invalidate(&harness, "http://a/filling");
    flood(&harness, 200_000, 1_000);
    // Nobody waits for what there is nothing to write of.
    let said = harness.cache.flush_invalidations();
    assert_eq!(said.now_or_never(), Some(Ok(())));
    // What began before an invalidation is not kept, however long ago that was.
    assert_eq!(finish(of_taken).await, Stored::Not);
    let key = Key::new("http://a/filling");
    let late = lead(harness.cache.join(key, &any(), ticket, None));
    let late = late.begin(harness.whole(Some(4), &[])).unwrap();
    assert_eq!(finish(late).await, Stored::Not);
    // What clients cannot invalidate is none the worse.
    assert_eq!(finish(of_media).await, Stored::Complete);
    assert!(is_served(&harness, MEDIA).await && is_served(&harness, HELD).await);
    assert!(!is_served(&harness, TAKEN).await);
    let log_bytes = std::fs::metadata(machine.log()).unwrap().len();
    assert!(log_bytes < 10_000, "{log_bytes}: nothing of it is on disk");

    drop(harness);
    machine.disk.lose_removals();
    let harness = machine.start();
    for key in others.into_iter().chain([MEDIA, HELD]) {
        assert!(is_served(&harness, key).await, "{key}");
    }
    assert!(!is_served(&harness, TAKEN).await);
    let missed = harness.cache.inspect(Key::new(TAKEN), &any()).await.missed;
    assert_eq!(missed, Some(MissReason::Purged));
    // What is fetched after it is kept again.
    harness.store(TAKEN, b"new", &[]).await;
    let harness = machine.start();
    assert!(is_served(&harness, TAKEN).await);
}

#[tokio::test]
async fn what_is_forgotten_of_a_disk_that_may_have_it_all_counts_against_plain_keys_only() {
    let machine = Machine::new();
    let harness = machine.holding(&[MEDIA, HELD, TAKEN]).await;
    machine.disk.be_unsure();
    invalidate(&harness, TAKEN);
    harness.store("http://a/later", b"later", &[]).await;
    flood(&harness, MANY, 20);
    harness.store("http://a/last", b"last", &[]).await;
    for _ in 0..2 {
        assert!(!is_served(&harness, TAKEN).await);
    }
    harness.cache.close().await;
    drop(harness);
    machine.disk.lose_removals();
    let log_bytes = std::fs::metadata(machine.log()).unwrap().len();
    assert!(log_bytes < 32 << 20, "{log_bytes}");
    let harness = machine.start();
    assert!(
        !is_served(&harness, TAKEN).await,
        "forgotten, and not forgiven"
    );
    assert!(
        !is_served(&harness, HELD).await,
        "it may have been among them"
    );
    assert!(is_served(&harness, MEDIA).await);
    assert!(is_served(&harness, "http://a/last").await);
    assert!(harness.cache.purge_bytes() <= PURGE_BYTES_MAX as u64);
}

async fn store_in(harness: &Harness, language: &str) {
    let request = headers(&[("accept-language", language)]);
    let ticket = harness.cache.ticket();
    let join = harness.cache.join(Key::new(TAKEN), &request, ticket, None);
    let mut response = harness.whole(Some(language.len()), &[]);
    response.variant = Variant::of([ACCEPT_LANGUAGE], &request);
    let mut filling = lead(join).begin(response).unwrap();
    filling
        .write(Bytes::from(language.to_owned()))
        .await
        .unwrap();
    assert_eq!(filling.complete(), Ok(Stored::Complete));
}

async fn is_served_in(harness: &Harness, language: &str) -> bool {
    let request: HeaderMap = headers(&[("accept-language", language)]);
    harness.hit_or_load(TAKEN, &request).await.is_some()
}

#[tokio::test]
async fn variants_go_with_their_key_wherever_they_are() {
    for loses in 0..3 {
        let machine = Machine::new();
        let harness = machine.start();
        for language in ["en", "fr"] {
            store_in(&harness, language).await;
        }
        let harness = machine.start();
        match loses {
            // The disk has no longer what leads to the variants, but has them.
            0 => machine.disk.lose_rules(),
            // The variants are in memory, or one of them is.
            1 => assert!(is_served_in(&harness, "fr").await),
            _ => {}
        }
        invalidate(&harness, TAKEN);
        machine.disk.lose_removals();
        store_in(&harness, "de").await;
        for _ in 0..2 {
            for language in ["en", "fr"] {
                assert!(
                    !is_served_in(&harness, language).await,
                    "{language} {loses}"
                );
            }
            assert!(is_served_in(&harness, "de").await);
        }
        let harness = machine.start();
        machine.disk.lose_removals();
        assert!(!is_served_in(&harness, "fr").await);
        assert!(is_served_in(&harness, "de").await);
    }
}

#[tokio::test]
async fn a_variant_that_joins_those_on_disk_does_not_take_their_place() {
    let machine = Machine::new();
    let harness = machine.start();
    store_in(&harness, "en").await;
    let harness = machine.start();
    invalidate(&harness, "http://a/other");
    assert!(!is_served_in(&harness, "de").await);
    store_in(&harness, "de").await;
    let harness = machine.start();
    assert!(is_served_in(&harness, "en").await);
    assert!(is_served_in(&harness, "de").await);
}

#[tokio::test]
async fn what_is_being_read_from_disk_is_taken_away_with_the_rest() {
    let machine = Machine::new();
    let harness = machine.start();
    store_in(&harness, "en").await;
    let harness = machine.start();
    let request = headers(&[("accept-language", "en")]);
    // Each load of the disk suspends once.
    let mut load = Box::pin(harness.cache.load(Key::new(TAKEN), &request));
    assert!((&mut load).now_or_never().is_none());
    assert!((&mut load).now_or_never().is_none());
    // The way to the variant has been read, and the disk has it no longer, so nothing is there to be removed.
    machine.disk.lose_rules();
    harness.cache.invalidate(Key::new(TAKEN));
    assert!(matches!(load.await, Lookup::Miss(_)));
    store_in(&harness, "de").await;
    assert!(!is_served_in(&harness, "en").await);
}

/// A store that waits, or fails, when it is told to.
#[derive(Debug, Default, Clone)]
struct Slow(Arc<(Mutex<SlowState>, Condvar)>);

#[derive(Debug, Default)]
struct SlowState {
    held: PurgeSnapshot,
    waits: bool,
    fails: bool,
}

impl Slow {
    fn set(&self, waits: bool, fails: bool) {
        let mut state = self.0.0.lock();
        (state.waits, state.fails) = (waits, fails);
        self.0.1.notify_all();
    }

    fn change(&self, change: impl FnOnce(&mut PurgeSnapshot)) -> io::Result<()> {
        let mut state = self.0.0.lock();
        while state.waits {
            self.0.1.wait(&mut state);
        }
        if state.fails {
            return Err(io::Error::other("no"));
        }
        change(&mut state.held);
        Ok(())
    }
}

impl PurgeStore for Slow {
    fn load(&mut self) -> io::Result<PurgeSnapshot> {
        Ok(self.0.0.lock().held.clone())
    }

    fn replace(&mut self, snapshot: &PurgeSnapshot) -> io::Result<()> {
        self.change(|held| *held = snapshot.clone())
    }

    fn append(&mut self, records: &[LogRecord]) -> io::Result<()> {
        self.change(|held| {
            for record in records {
                match record {
                    LogRecord::Purge(record) => held.records.push(record.clone()),
                    LogRecord::Invalidation(record) => held.invalidated.push(*record),
                }
            }
        })
    }
}

#[tokio::test]
async fn a_log_that_falls_behind_or_fails_catches_up() {
    for fails in [false, true] {
        let store = Slow::default();
        let disk = MemoryDisk::new();
        let start = || {
            let tier = disk.clone();
            let purges = Box::new(store.clone());
            Harness::backed(small(), Backing { tier, purges })
        };
        let harness = start();
        for key in [MEDIA, HELD, TAKEN] {
            harness.store(key, b"old", &[]).await;
        }
        drop(harness);
        let harness = start();
        disk.be_unsure();
        store.set(!fails, fails);
        invalidate(&harness, TAKEN);
        let said = harness.cache.flush_invalidations();
        if fails {
            assert_eq!(said.await, Err(NotDurable));
        } else {
            assert_eq!(said.now_or_never(), None, "it is not durable yet");
        }
        flood(&harness, 5_000, 20);
        harness.purge(PurgeSelector::Key(MEDIA.into()), false);
        store.set(false, false);
        if fails {
            let said = harness.cache.flush_invalidations().await;
            assert_eq!(said, Err(NotDurable), "nobody tried again for that");
            harness.cache.close().await;
        }
        assert_eq!(harness.cache.flush_invalidations().await, Ok(()));
        drop(harness);
        disk.lose_removals();
        let harness = start();
        assert!(!is_served(&harness, TAKEN).await && !is_served(&harness, MEDIA).await);
        assert!(is_served(&harness, HELD).await);
    }
}

#[tokio::test]
async fn an_answer_takes_the_place_of_what_its_request_took_away() {
    let machine = Machine::new();
    let harness = machine.holding(&[TAKEN]).await;
    let key = Key::new(TAKEN);
    let (asked, too_early) = (harness.cache.ticket(), harness.cache.ticket());
    let ticket = harness.cache.supersede(key, asked).expect("nothing came");
    // One that was under way with it is older than what took its place.
    assert_eq!(harness.cache.supersede(key, too_early), None);
    let join = harness.cache.join(key, &any(), ticket, None);
    let Join::Lead(late) = join else {
        panic!("nobody asks for it");
    };
    let late = late.begin(harness.whole(Some(4), &[])).unwrap();
    assert_eq!(finish(late).await, Stored::Not);
    let ticket = harness
        .cache
        .supersede(key, harness.cache.ticket())
        .unwrap();
    let answer = lead(harness.cache.join(key, &any(), ticket, None));
    let answer = answer.begin(harness.whole(Some(4), &[])).unwrap();
    assert_eq!(finish(answer).await, Stored::Complete);
    let harness = machine.start();
    assert!(is_served(&harness, TAKEN).await);
}

#[tokio::test]
async fn an_answer_is_not_kept_when_a_purge_reached_its_surrogate_keys_while_it_was_under_way() {
    for soft in [false, true] {
        let harness = Harness::new();
        let key = Key::new(TAKEN);
        let asked = harness.cache.ticket();
        harness.purge(PurgeSelector::SurrogateKey("t".into()), soft);
        let ticket = harness.cache.supersede(key, asked).unwrap();
        let answer = lead(harness.cache.join(key, &any(), ticket, None));
        let response = harness.whole(Some(4), &[("surrogate-key", "t")]);
        assert_eq!(finish(answer.begin(response).unwrap()).await, Stored::Not);
        assert!(harness.hit(TAKEN).is_none());
    }
}

/// One by one up to the bound; beyond it, what the disk has had since before the oldest that is forgotten is not served, be it
/// asked for at once or after a restart.
#[tokio::test]
async fn the_bound_of_what_is_remembered_of_a_disk_is_kept_to_the_key() {
    for beyond in [0, 1] {
        let machine = Machine::new();
        let mut harness = machine.holding(&[MEDIA, HELD, TAKEN]).await;
        machine.disk.be_unsure();
        invalidate(&harness, TAKEN);
        flood(&harness, KEYS_MAX - 1 + beyond, 20);
        for _ in 0..2 {
            machine.disk.lose_removals();
            assert!(!is_served(&harness, TAKEN).await, "{beyond}");
            assert_eq!(is_served(&harness, HELD).await, beyond == 0);
            assert!(is_served(&harness, MEDIA).await, "{beyond}");
            harness.cache.close().await;
            drop(harness);
            harness = machine.start();
        }
    }
}
