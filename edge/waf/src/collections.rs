//! Persistent collections (`IP`, `GLOBAL`, `SESSION`, …): counters that outlive a transaction, in memory and bounded.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::lang::variables::Variable;

/// Most variables in one record.
const VARIABLES_MAX: usize = 32;
/// A record that nobody wrote for this long is the first to go, milliseconds.
const IDLE_MS: i64 = 3_600_000;
/// Records live in this many separately locked maps.
const SHARDS: usize = 16;

/// Records of all collections, shared by all transactions of a node.
#[derive(Debug)]
pub struct Collections {
    shards: Vec<Mutex<HashMap<Key, Record>>>,
    shard_records_max: usize,
}

type Key = (Variable, Box<[u8]>);

/// A variable's name and value.
pub(crate) type Named = (Box<[u8]>, Arc<[u8]>);

#[derive(Debug, Default)]
struct Record {
    variables: Vec<(Box<[u8]>, Stored)>,
    written_ms: i64,
}

#[derive(Debug, Clone)]
struct Stored {
    value: Arc<[u8]>,
    expires_ms: Option<i64>,
}

impl Collections {
    /// Room for about `records_max` records; a new one beyond that takes the place of an idle one, or is not kept.
    #[must_use]
    pub fn new(records_max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            shard_records_max: records_max.div_ceil(SHARDS),
        }
    }

    fn shard(&self, key: &Key) -> &Mutex<HashMap<Key, Record>> {
        let hash = key.1.iter().fold(key.0 as usize, |hash, byte| {
            hash.wrapping_mul(31).wrapping_add(usize::from(*byte))
        });
        &self.shards[hash % SHARDS]
    }

    /// The live variables of a record.
    pub(crate) fn all(&self, collection: Variable, key: &[u8], now_ms: i64) -> Vec<Named> {
        let key = (collection, key.into());
        let shard = self.shard(&key).lock();
        let live = |stored: &Stored| stored.expires_ms.is_none_or(|at| at > now_ms);
        let variables = shard
            .get(&key)
            .map(|record| record.variables.as_slice())
            .unwrap_or_default();
        variables
            .iter()
            .filter(|(_, stored)| live(stored))
            .map(|(name, stored)| (name.clone(), stored.value.clone()))
            .collect()
    }

    /// Changes a variable: `change` gets the live value and gives the new one, or `None` to remove it.
    pub(crate) fn update(
        &self,
        (collection, key): (Variable, &[u8]),
        name: &[u8],
        now_ms: i64,
        change: impl FnOnce(Option<&[u8]>) -> Option<Vec<u8>>,
    ) {
        let key = (collection, Box::from(key));
        let mut shard = self.shard(&key).lock();
        if !shard.contains_key(&key) && shard.len() >= self.shard_records_max {
            shard.retain(|_, record| now_ms - record.written_ms < IDLE_MS);
            if shard.len() >= self.shard_records_max {
                return;
            }
        }
        let record = shard.entry(key).or_default();
        record.written_ms = now_ms;
        record
            .variables
            .retain(|(_, stored)| stored.expires_ms.is_none_or(|at| at > now_ms));
        let at = record
            .variables
            .iter()
            .position(|(known, _)| **known == *name);
        let new = change(at.map(|at| record.variables[at].1.value.as_ref()));
        match (at, new) {
            (Some(at), Some(value)) => record.variables[at].1.value = value.into(),
            (Some(at), None) => drop(record.variables.remove(at)),
            (None, Some(value)) if record.variables.len() < VARIABLES_MAX => {
                record.variables.push((
                    name.into(),
                    Stored {
                        value: value.into(),
                        expires_ms: None,
                    },
                ));
            }
            (None, _) => {}
        }
    }

    /// Lets a variable end at a time.
    pub(crate) fn expire(&self, collection: Variable, key: &[u8], name: &[u8], at_ms: i64) {
        let key = (collection, key.into());
        let mut shard = self.shard(&key).lock();
        let record = shard.get_mut(&key);
        if let Some((_, stored)) = record.and_then(|record| {
            record
                .variables
                .iter_mut()
                .find(|(known, _)| **known == *name)
        }) {
            stored.expires_ms = Some(at_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(
        collections: &Collections,
        collection: Variable,
        key: &[u8],
        now_ms: i64,
    ) -> Option<Arc<[u8]>> {
        collections
            .all(collection, key, now_ms)
            .into_iter()
            .next()
            .map(|(_, value)| value)
    }

    #[test]
    fn variables_live_until_they_expire() {
        let collections = Collections::new(16);
        let set = |value: &'static [u8], now| {
            collections.update((Variable::Ip, b"1.2.3.4"), b"n", now, |_| {
                Some(value.to_vec())
            });
        };
        set(b"1", 0);
        collections.expire(Variable::Ip, b"1.2.3.4", b"n", 100);
        assert_eq!(
            get(&collections, Variable::Ip, b"1.2.3.4", 99).as_deref(),
            Some(&b"1"[..])
        );
        assert_eq!(get(&collections, Variable::Ip, b"1.2.3.4", 100), None);
        assert_eq!(get(&collections, Variable::Global, b"1.2.3.4", 0), None);
    }

    #[test]
    fn records_are_bounded_and_idle_ones_make_room() {
        let collections = Collections::new(SHARDS);
        let add = |key: u32, now| {
            collections.update((Variable::Ip, &key.to_be_bytes()), b"n", now, |_| {
                Some(b"1".to_vec())
            });
        };
        (0..1000).for_each(|key| add(key, 0));
        let count = || {
            collections
                .shards
                .iter()
                .map(|shard| shard.lock().len())
                .sum::<usize>()
        };
        assert_eq!(count(), SHARDS);
        add(5000, IDLE_MS);
        assert!(get(&collections, Variable::Ip, &5000u32.to_be_bytes(), IDLE_MS).is_some());
    }
}
