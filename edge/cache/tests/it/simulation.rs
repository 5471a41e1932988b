//! Seeded interleavings of requests, fills, slices, readers, purges, invalidations by clients, aborts, revalidations,
//! evictions and restarts (some of which lose what was removed from disk) against a model. At each step every invariant is
//! checked:
//!
//! - what is complete has exactly the bytes of one version, and nothing else ends as if it were complete;
//! - what is fresh is of the version after the last purge that reaches its key; what was purged or invalidated is not
//!   found, whatever began before;
//! - a reader gets only bytes of the version that it began with, and none after a hard purge;
//! - memory is never exceeded, and all of it comes back;
//! - who waits for a fetch gets no answer that was asked for before a purge.
//!
//! `MCSP_SIMULATION_SEEDS` is how many seeds each test runs, `MCSP_SIMULATION_FIRST` the first of them. A seed that fails
//! is printed.

mod reading;
mod taking;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use http::HeaderMap;
use mcsp_edge_cache::engine::{
    Backing, BodyPlan, CacheConfig, Claim, Entity, FillTicket, Filling, Follow, Followed, Join,
    Key, Lead, Lookup, PurgeFile, PurgeSelector, ReadError, Reader, Stored,
};
use mcsp_runtime::{Entropy, SeededEntropy};

use crate::memory_disk::MemoryDisk;
use crate::simulation_model::{KEYS, Target, Version, advance, is_all, version_header};
use crate::support::Harness;

const LONG_SEEDS: u64 = 50;
const LONG_STEPS: usize = 250;
/// What happens early, over and over; as many in each of two tests.
const SHORT_SEEDS: u64 = 1000;
const SHORT_STEPS: usize = 50;
const BODY_BYTES: usize = 300_000;
const PIECE_BYTES: usize = 110_000;

fn config() -> CacheConfig {
    CacheConfig {
        memory_bytes: 3 << 20,
        object_bytes_max: 700_000,
        fill_bytes_max: 2 << 20,
        pinned_bytes_max: 1 << 20,
        stream_window_bytes: 64 << 10,
        unshared_keys_max: 0,
        ..CacheConfig::default()
    }
}

struct Fetch {
    target: Target,
    version: Version,
    lead: Lead,
}

struct Writing {
    target: Target,
    version: Version,
    filling: Filling,
}

struct Reading {
    target: Target,
    version: Version,
    reader: Reader,
    started: u64,
}

struct World {
    harness: Harness,
    disk: Arc<MemoryDisk>,
    folder: tempfile::TempDir,
    seed: u64,
    steps: usize,
    /// What took each key away or made it stale, so far; up to which of those nobody finds it any more, and up to which
    /// nobody reads on.
    purges: [Version; KEYS],
    gone: [Version; KEYS],
    cut: [Version; KEYS],
    /// Unsafe requests under way, with the version that their origins knew.
    posts: Vec<(Target, Version, FillTicket)>,
    fetches: Vec<Fetch>,
    follows: Vec<(Target, Version, Follow)>,
    writing: Vec<Writing>,
    reading: Vec<Reading>,
    seen: HashMap<&'static str, u64>,
}

fn start(disk: &Arc<MemoryDisk>, folder: &tempfile::TempDir) -> Harness {
    Harness::backed(
        config(),
        Backing {
            tier: disk.clone(),
            purges: Box::new(PurgeFile::new(folder.path().join("purges"))),
        },
    )
}

impl World {
    fn new(seed: u64) -> Self {
        let disk = MemoryDisk::new();
        let folder = tempfile::tempdir().unwrap();
        Self {
            harness: start(&disk, &folder),
            disk,
            folder,
            seed,
            steps: 0,
            purges: [0; KEYS],
            gone: [0; KEYS],
            cut: [0; KEYS],
            posts: Vec::new(),
            fetches: Vec::new(),
            follows: Vec::new(),
            writing: Vec::new(),
            reading: Vec::new(),
            seen: HashMap::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    async fn step(&mut self, random: &SeededEntropy) {
        let roll = |n: u64| random.next_u64() % n;
        let target = Target {
            key: roll(KEYS as u64) as usize,
            french: roll(2) == 0,
        };
        match roll(100) {
            0..20 => self.ask(target),
            20..35 => self.head(roll(100), roll(10)),
            35..62 => self.write(roll(64), roll(40) == 0).await,
            62..65 => self.purge(target, roll(9), roll(2) == 0).await,
            65..67 => self.invalidate(target),
            67..69 => self.post(target, roll(8)),
            69..82 => self.look(target, roll(u64::MAX)).await,
            82..92 => self.read(roll(64), roll(6)).await,
            92..95 => self.claim(roll(u64::MAX)),
            95..97 => self.revalidate(target, roll(2) == 0).await,
            97 => self.crowd(roll(1000)).await,
            98 => self.follow_up(),
            _ => self.restart(roll(4) == 0, roll(2) == 0).await,
        }
        self.steps += 1;
        self.check().await;
    }

    fn ask(&mut self, target: Target) {
        let version = self.purges[target.key];
        let cache = &self.harness.cache;
        let text = target.text();
        let ticket = cache.ticket();
        match cache.join(Key::new(&text), &target.request(), ticket, None) {
            Join::Lead(lead) => self.fetches.push(Fetch {
                target,
                version,
                lead,
            }),
            Join::Follow(follow) => self.follows.push((target, version, follow)),
        }
    }

    fn head(&mut self, roll: u64, how: u64) {
        if self.fetches.is_empty() {
            return;
        }
        let index = roll as usize % self.fetches.len();
        let fetch = self.fetches.swap_remove(index);
        let Fetch {
            target,
            version,
            lead,
        } = fetch;
        let tag = format!("t{}", target.key);
        let mut response = self.harness.whole(
            Some(BODY_BYTES),
            &[("surrogate-key", &tag), ("x-version", &version.to_string())],
        );
        response.variant = target.variant();
        match how {
            0 => return drop(lead),
            1 => return lead.not_shareable("private", false),
            2 => response.body = BodyPlan::Whole { total_len: None },
            3 => {
                response.body = BodyPlan::Part {
                    range: 100_000..200_000,
                    total_len: BODY_BYTES as u64,
                }
            }
            _ => {}
        }
        let Ok(filling) = lead.begin(response) else {
            return self.count("refused");
        };
        if version < self.purges[target.key] {
            assert!(
                filling.is_superseded(),
                "a purge came since it was asked for"
            );
            self.count("superseded at the head");
        }
        self.writing.push(Writing {
            target,
            version,
            filling,
        });
    }

    async fn write(&mut self, roll: u64, dies: bool) {
        if self.writing.is_empty() {
            return;
        }
        let index = roll as usize % self.writing.len();
        let mut writing = self.writing.swap_remove(index);
        if dies {
            return self.count("died");
        }
        let end = writing.filling.end().unwrap_or(BODY_BYTES as u64);
        let left = (end - writing.filling.position()) as usize;
        let byte = writing.target.byte(writing.version);
        let piece = vec![byte; left.min(PIECE_BYTES)];
        // A body that streams waits for its readers; here nobody waits.
        let written = writing.filling.write(Bytes::from(piece)).now_or_never();
        match written {
            Some(Ok(())) if writing.filling.position() < end => self.writing.push(writing),
            Some(Ok(())) => {
                let superseded = writing.filling.is_superseded();
                let stored = writing.filling.complete().unwrap();
                if writing.version < self.purges[writing.target.key] {
                    assert_eq!(stored, Stored::Not, "asked for before a purge");
                    assert!(superseded);
                    self.count("superseded at the end");
                }
                if stored == Stored::Complete {
                    self.count("complete");
                }
            }
            Some(Err(_)) => self.count("write refused"),
            None => self.count("stream stalled"),
        }
    }

    /// Somebody fetches what an entity lacks. The origin has another version after each purge, so that the validators
    /// match only without one.
    fn claim(&mut self, roll: u64) {
        if self.reading.is_empty() {
            return;
        }
        let reading = &self.reading[roll as usize % self.reading.len()];
        let target = reading.target;
        let entity = Arc::clone(reading.reader.entity());
        let version = reading.version;
        let ticket: FillTicket = self.harness.cache.ticket();
        let start = roll % BODY_BYTES as u64;
        let wanted = start..start + 1 + (roll >> 32) % BODY_BYTES as u64;
        let Claim::Lead(slice) = self.harness.cache.claim(&entity, wanted, ticket) else {
            return;
        };
        if roll.is_multiple_of(7) {
            return;
        }
        if version < self.purges[target.key] {
            slice.changed();
            assert!(entity.is_withdrawn());
            return self.count("changed");
        }
        let Ok(filling) = slice.begin(BODY_BYTES as u64) else {
            return self.count("slice refused");
        };
        self.count("slice");
        self.writing.push(Writing {
            target,
            version,
            filling,
        });
    }

    /// Others come and push out what is there.
    async fn crowd(&mut self, from: u64) {
        for n in from..from + 6 {
            let lead = self.harness.cache.join(
                Key::new(&format!("/crowd/{n}")),
                &HeaderMap::new(),
                self.harness.cache.ticket(),
                None,
            );
            let Join::Lead(lead) = lead else { continue };
            let Ok(mut filling) = lead.begin(self.harness.whole(Some(BODY_BYTES), &[])) else {
                continue;
            };
            let body = Bytes::from(vec![255; BODY_BYTES]);
            if let Some(Ok(())) = filling.write(body).now_or_never() {
                filling.complete().unwrap();
            }
        }
        self.count("crowd");
    }

    /// Those who wait and have an answer take it.
    fn follow_up(&mut self) {
        for (target, asked, follow) in std::mem::take(&mut self.follows) {
            let request = target.request();
            let wait = follow.wait(&request, Duration::from_secs(60));
            match wait.now_or_never() {
                Some(Followed::Shared(entity)) => {
                    let version = self.version_of(target, &entity);
                    assert!(
                        version >= asked,
                        "asked for before a purge that it came after"
                    );
                    self.count("followed");
                }
                Some(_) => self.count("asks again"),
                // Nobody can wait on: the leader is still at it.
                None => self.count("waits"),
            }
        }
    }

    /// The process dies, or stops in order; the disk stays, but may have again what was removed from it.
    async fn restart(&mut self, in_order: bool, loses_removals: bool) {
        if in_order {
            self.harness.cache.close().await;
        }
        self.drop_all();
        // The old one is gone before the new one comes.
        self.harness = Harness::new();
        if loses_removals {
            self.disk.lose_removals();
        }
        self.harness = start(&self.disk, &self.folder);
        self.count("restart");
    }

    fn drop_all(&mut self) {
        self.fetches.clear();
        self.follows.clear();
        self.writing.clear();
        self.reading.clear();
        self.posts.clear();
    }

    /// When all have gone, so has what they held.
    fn finish(mut self) -> HashMap<&'static str, u64> {
        self.drop_all();
        let cache = &self.harness.cache;
        assert_eq!(cache.fill_bytes(), 0, "seed {}", self.seed);
        self.harness.purge(PurgeSelector::Everything, false);
        assert_eq!(cache.used_bytes(), 0, "seed {}", self.seed);
        for (head, body) in self.disk.bodies() {
            assert_eq!(
                body.len() as u64,
                head.total_len,
                "only what is whole is on disk"
            );
        }
        self.seen
    }
}

/// Names the seed when a test fails in it.
struct Named {
    seed: u64,
    steps: usize,
}

impl Drop for Named {
    #[allow(clippy::print_stderr)] // For whoever reads the test's output.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, steps } = self;
            eprintln!(
                "failed with {steps} steps: MCSP_SIMULATION_FIRST={seed} MCSP_SIMULATION_SEEDS=1"
            );
        }
    }
}

fn asked(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs so many seeds from `first` on, unless others are asked for, and says how often each thing happened.
async fn run(first: u64, seeds: u64, steps: usize) -> HashMap<&'static str, u64> {
    let mut seen: HashMap<&'static str, u64> = HashMap::new();
    let first = asked("MCSP_SIMULATION_FIRST").unwrap_or(first);
    let seeds = asked("MCSP_SIMULATION_SEEDS").unwrap_or(seeds);
    for seed in first..first + seeds {
        let _named = Named { seed, steps };
        let random = SeededEntropy::new(seed);
        let mut world = World::new(seed);
        for _ in 0..steps {
            world.step(&random).await;
        }
        for (what, count) in world.finish() {
            *seen.entry(what).or_default() += count;
        }
    }
    seen
}

/// A simulation in which something never happens says nothing about it.
fn assert_seen(seen: &HashMap<&'static str, u64>, rare: &[&str]) {
    if asked("MCSP_SIMULATION_SEEDS").is_some() {
        return;
    }
    let often = [
        "superseded at the head",
        "superseded at the end",
        "died",
        "complete",
        "hard purge",
        "soft purge",
        "invalidation",
        "answer in its place",
        "on disk",
        "hit",
        "read to the end",
        "reader purged",
        "hole",
        "slice",
        "late revalidation",
        "revalidation",
        "crowd",
        "followed",
        "asks again",
        "restart",
    ];
    for what in often.iter().chain(rare) {
        assert!(seen.contains_key(what), "{what} never happened: {seen:?}");
    }
}

#[tokio::test]
async fn no_long_interleaving_breaks_an_invariant() {
    let seen = run(0, LONG_SEEDS, LONG_STEPS).await;
    assert_seen(&seen, &["changed", "answer too late"]);
}

#[tokio::test]
async fn no_short_interleaving_breaks_an_invariant() {
    let seen = run(0, SHORT_SEEDS, SHORT_STEPS).await;
    assert_seen(&seen, &[]);
}

#[tokio::test]
async fn nor_does_any_of_as_many_others() {
    let seen = run(SHORT_SEEDS, SHORT_SEEDS, SHORT_STEPS).await;
    assert_seen(&seen, &[]);
}
