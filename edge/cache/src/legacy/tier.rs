//! The memory tier: complete objects, weighed, bounded, least useful out first.
//!
//! A further tier (disk) stands beside this one with the same three acts: `get`, `insert`, `remove`.

use std::sync::Arc;

use foyer::{Cache, CacheBuilder, Event, EventListener, S3FifoConfig};
use parking_lot::Mutex;
use pingora_cache::key::HashBinary;

use crate::legacy::object::Object;

/// Objects that left the tier and that the ledger has yet to forget.
#[derive(Debug, Default)]
struct Departures(Mutex<Vec<Arc<Object>>>);

impl EventListener for Departures {
    type Key = HashBinary;
    type Value = Arc<Object>;

    fn on_leave(&self, reason: Event, _key: &HashBinary, object: &Arc<Object>) {
        // What is replaced or removed was taken off the ledger by whoever did it.
        if matches!(reason, Event::Evict) {
            self.0.lock().push(Arc::clone(object));
        }
    }
}

pub(crate) struct MemoryTier {
    objects: Cache<HashBinary, Arc<Object>>,
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
    /// A tier of `memory_bytes`, in as many shards as leave each room for four of the largest objects.
    pub(crate) fn new(memory_bytes: u64, object_bytes_max: u64) -> Self {
        const SHARDS_MAX: u64 = 16;
        let shards = (memory_bytes / (4 * object_bytes_max.max(1))).clamp(1, SHARDS_MAX);
        let departures = Arc::new(Departures::default());
        let objects = CacheBuilder::new(usize::try_from(memory_bytes).unwrap_or(usize::MAX))
            .with_name("edge")
            .with_shards(usize::try_from(shards).unwrap_or(1))
            .with_eviction_config(S3FifoConfig::default())
            .with_weighter(|_key: &HashBinary, object: &Arc<Object>| object.weight())
            .with_event_listener(Arc::clone(&departures) as _)
            .build();
        Self {
            objects,
            departures,
        }
    }

    pub(crate) fn get(&self, hash: &HashBinary) -> Option<Arc<Object>> {
        self.objects
            .get(hash)
            .map(|entry| Arc::clone(entry.value()))
    }

    /// Inserts, and returns what had to leave for it.
    pub(crate) fn insert(&self, object: &Arc<Object>) -> Vec<Arc<Object>> {
        self.objects.insert(object.subject.hash, Arc::clone(object));
        std::mem::take(&mut *self.departures.0.lock())
    }

    pub(crate) fn remove(&self, hash: &HashBinary) -> Option<Arc<Object>> {
        self.objects
            .remove(hash)
            .map(|entry| Arc::clone(entry.value()))
    }

    /// Bytes held.
    pub(crate) fn usage(&self) -> usize {
        self.objects.usage()
    }
}
