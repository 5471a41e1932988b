//! The memory tier: which stored responses stay, by foyer's S3-FIFO.
//!
//! Least useful out first, and only when the memory is wanted: the [`crate::account::Account`] is the bound, and
//! [`MemoryTier::shed`] makes room in it. Shards have more capacity than their part of the bound, so that a shard that
//! drew large objects does not have to shed while others have room.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use foyer::{Cache, CacheBuilder, Event, EventListener, S3FifoConfig};
use parking_lot::Mutex;

use crate::entity::Entity;
use crate::key::KeyHash;

const SHARDS_MAX: u64 = 16;
/// A shard's capacity in parts of a hundred of its part of the memory.
const SHARD_CAPACITY_PERCENT: u64 = 150;
/// S3-FIFO's small queue and its memory of what left, in parts of the memory: of the evictions that foyer has, and of
/// these shares, the best over steady, shifting and scanned popularity (`tests/it/ratios.rs` prints the table).
const SMALL_RATIO: f64 = 0.05;
const GHOST_RATIO: f64 = 0.5;
/// What makes room in a shard for a moment. No key's text has this hash but by 1 in 2^128.
const BALLAST: KeyHash = KeyHash(u128::MAX);

/// Keys are hashes already.
#[derive(Debug, Default, Clone, Copy)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

type BuildHashed = BuildHasherDefault<Hashed>;

#[derive(Debug, Clone)]
enum Held {
    Entity(Arc<Entity>),
    Ballast(usize),
}

/// Entities that a shard let go of.
#[derive(Debug, Default)]
struct Departures(Mutex<Vec<Arc<Entity>>>);

impl EventListener for Departures {
    type Key = KeyHash;
    type Value = Held;

    fn on_leave(&self, reason: Event, _key: &KeyHash, held: &Held) {
        // What is replaced or removed was taken off the ledger by whoever did it.
        if let (Event::Evict, Held::Entity(entity)) = (reason, held) {
            self.0.lock().push(Arc::clone(entity));
        }
    }
}

struct Shard {
    held: Cache<KeyHash, Held, BuildHashed>,
}

/// The memory tier. Insertions and removals happen under the ledger's lock, lookups under none of ours.
pub(crate) struct MemoryTier {
    shards: Box<[Shard]>,
    departures: Arc<Departures>,
}

impl std::fmt::Debug for MemoryTier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryTier")
            .field("usage", &self.usage())
            .finish_non_exhaustive()
    }
}

impl MemoryTier {
    /// A tier for `memory_bytes`, in as many shards as leave each room for four of the largest objects.
    pub(crate) fn new(memory_bytes: u64, object_bytes_max: u64) -> Self {
        let count = (memory_bytes / (4 * object_bytes_max.max(1))).clamp(1, SHARDS_MAX);
        let capacity = memory_bytes / count * SHARD_CAPACITY_PERCENT / 100;
        // The shares are of the memory, foyer's of the capacity.
        let part = 100.0 / SHARD_CAPACITY_PERCENT as f64;
        let eviction = S3FifoConfig {
            small_queue_capacity_ratio: SMALL_RATIO * part,
            ghost_queue_capacity_ratio: GHOST_RATIO * part,
            small_to_main_freq_threshold: 1,
        };
        let departures = Arc::new(Departures::default());
        let shard = || Shard {
            held: CacheBuilder::new(usize::try_from(capacity).unwrap_or(usize::MAX))
                .with_name("edge")
                .with_shards(1)
                .with_eviction_config(eviction.clone())
                .with_hash_builder(BuildHashed::default())
                .with_weighter(|_key: &KeyHash, held: &Held| match held {
                    Held::Entity(entity) => entity.weight.load(Ordering::Acquire),
                    Held::Ballast(weight) => *weight,
                })
                .with_event_listener(Arc::clone(&departures) as _)
                .build(),
        };
        Self {
            shards: (0..count).map(|_| shard()).collect(),
            departures,
        }
    }

    fn shard(&self, slot: KeyHash) -> &Shard {
        &self.shards[slot.shard() % self.shards.len()]
    }

    pub(crate) fn get(&self, slot: KeyHash) -> Option<Arc<Entity>> {
        match self.shard(slot).held.get(&slot)?.value() {
            Held::Entity(entity) => Some(Arc::clone(entity)),
            Held::Ballast(_) => None,
        }
    }

    /// Is anything in the slot? Asking does not make it look used.
    pub(crate) fn holds(&self, slot: KeyHash) -> bool {
        self.shard(slot).held.contains(&slot)
    }

    /// Inserts under its present weight, and returns what had to leave for it.
    pub(crate) fn insert(&self, entity: &Arc<Entity>) -> Vec<Arc<Entity>> {
        entity.weigh();
        let slot = entity.subject.slot;
        self.shard(slot)
            .held
            .insert(slot, Held::Entity(Arc::clone(entity)));
        self.departed()
    }

    pub(crate) fn remove(&self, slot: KeyHash) -> Option<Arc<Entity>> {
        match self.shard(slot).held.remove(&slot)?.value() {
            Held::Entity(entity) => Some(Arc::clone(entity)),
            Held::Ballast(_) => None,
        }
    }

    /// Lets go of `bytes` or a little more of the fullest shard; nothing when there is nothing left.
    pub(crate) fn shed(&self, bytes: u64) -> Vec<Arc<Entity>> {
        let fullest = self.shards.iter().max_by_key(|shard| shard.held.usage());
        let Some(shard) = fullest.filter(|shard| shard.held.usage() > 0) else {
            return Vec::new();
        };
        let wanted = usize::try_from(bytes).unwrap_or(usize::MAX);
        // Foyer lets go of what is over the capacity, so something takes up the rest of it for a moment.
        let free = shard.held.capacity().saturating_sub(shard.held.usage());
        let ballast = free.saturating_add(wanted).min(shard.held.capacity());
        shard.held.insert(BALLAST, Held::Ballast(ballast));
        shard.held.remove(&BALLAST);
        self.departed()
    }

    fn departed(&self) -> Vec<Arc<Entity>> {
        std::mem::take(&mut *self.departures.0.lock())
    }

    /// Bytes held.
    pub(crate) fn usage(&self) -> u64 {
        self.shards
            .iter()
            .map(|shard| shard.held.usage() as u64)
            .sum()
    }
}
