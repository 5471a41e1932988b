//! Seeded interleavings of fills, purges, aborts and reads against a model.

use std::collections::HashMap;

use bytes::Bytes;
use mcsp_edge_cache::PurgeSelector;
use mcsp_runtime::{Entropy, SeededEntropy};
use pingora_cache::{CacheKey, MissHandler};

use crate::legacy::harness::{Harness, drain, length};

const SEEDS: u64 = 300;
const STEPS: usize = 200;
const BODY_BYTES: usize = 64;

struct Writing {
    path: usize,
    /// The number of purges of this path when the response was asked for.
    version: u64,
    written: usize,
    handler: MissHandler,
}

struct World {
    harness: Harness,
    /// Hard and soft purges of each path so far.
    purged: [u64; 3],
    asked: Vec<(usize, u64, CacheKey)>,
    writing: HashMap<u64, Writing>,
    next: u64,
}

fn path(index: usize) -> String {
    format!("/p{index}")
}

/// Each body says which version of its path it is.
fn body(version: u64) -> [u8; BODY_BYTES] {
    [u8::try_from(version % 251).unwrap(); BODY_BYTES]
}

impl World {
    async fn step(&mut self, random: &SeededEntropy) {
        let roll = |n: u64| random.next_u64() % n;
        let index = usize::try_from(roll(3)).unwrap();
        match roll(10) {
            0 | 1 => {
                let key = self.harness.cache.key(&path(index));
                self.asked.push((index, self.purged[index], key));
            }
            2 => {
                if let Some((index, version, key)) = self.asked.pop() {
                    let handler = self
                        .harness
                        .begin(
                            &key,
                            &[length(BODY_BYTES), ("surrogate-key", format!("t{index}"))],
                        )
                        .await;
                    self.next += 1;
                    self.writing.insert(
                        self.next,
                        Writing {
                            path: index,
                            version,
                            written: 0,
                            handler,
                        },
                    );
                }
            }
            3..=5 => self.write(roll(64)).await,
            6 => {
                let key = self.pick(roll(8));
                // Dropped without a finish.
                key.map(|key| self.writing.remove(&key));
            }
            7 => self.purge(index, roll(4), roll(2) == 0),
            _ => self.read(index).await,
        }
    }

    fn pick(&self, roll: u64) -> Option<u64> {
        let mut keys: Vec<u64> = self.writing.keys().copied().collect();
        keys.sort_unstable();
        let count = keys.len().max(1) as u64;
        keys.get(usize::try_from(roll % count).unwrap()).copied()
    }

    async fn write(&mut self, roll: u64) {
        let Some(key) = self.pick(roll) else { return };
        let mut writing = self.writing.remove(&key).unwrap();
        let take = (BODY_BYTES - writing.written).min(24);
        let piece = body(writing.version)[..take].to_vec();
        writing
            .handler
            .write_body(Bytes::from(piece), false)
            .await
            .unwrap();
        writing.written += take;
        if writing.written == BODY_BYTES {
            writing.handler.finish().await.unwrap();
        } else {
            self.writing.insert(key, writing);
        }
    }

    fn purge(&mut self, index: usize, how: u64, soft: bool) {
        let selector = match how {
            0 => PurgeSelector::Key(path(index).into()),
            1 => PurgeSelector::Prefix(path(index).into()),
            2 => PurgeSelector::SurrogateKey(format!("t{index}").into()),
            _ => PurgeSelector::Everything,
        };
        if matches!(selector, PurgeSelector::Everything) {
            self.purged.iter_mut().for_each(|count| *count += 1);
        } else {
            self.purged[index] += 1;
        }
        self.harness.purge(selector, soft);
    }

    /// What a lookup calls fresh is of the newest version, and complete if it is not in flight.
    async fn read(&self, index: usize) {
        let Some((meta, mut reader)) = self.harness.lookup(&path(index)).await else {
            return;
        };
        let in_flight = reader
            .as_any()
            .downcast_ref::<mcsp_edge_cache::BodyReader>()
            .unwrap()
            .is_fill();
        let fresh = meta.is_fresh(self.harness.now());
        if in_flight {
            let newest = self
                .writing
                .values()
                .any(|writing| writing.path == index && writing.version == self.purged[index]);
            assert!(newest, "joined a fill that was asked for before a purge");
            return;
        }
        let got = drain(&mut reader).await.unwrap();
        assert_eq!(got.len(), BODY_BYTES, "a stored object is whole");
        if fresh {
            assert_eq!(
                got,
                body(self.purged[index]),
                "a fresh object is of after the last purge"
            );
        }
    }
}

#[tokio::test]
async fn no_interleaving_brings_back_what_was_purged_or_half_an_object() {
    for seed in 0..SEEDS {
        let random = SeededEntropy::new(seed);
        let mut world = World {
            harness: Harness::new(),
            purged: [0; 3],
            asked: Vec::new(),
            writing: HashMap::new(),
            next: 0,
        };
        for _ in 0..STEPS {
            world.step(&random).await;
        }
        world.writing.clear();
        assert_eq!(world.harness.cache.fill_bytes(), 0, "seed {seed}");
    }
}
