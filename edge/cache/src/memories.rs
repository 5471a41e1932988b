//! Small memories of what is not stored: why, and until when it is not worth waiting for one another.

use std::collections::{HashMap, VecDeque};

use serde::Serialize;

use crate::key::KeyHash;

/// Keys that are remembered; the oldest are forgotten.
const KEYS_MAX: usize = 16_384;

/// Why a lookup found nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MissReason {
    /// Nothing is known of the key: it was never stored, or that is long ago.
    NeverSeen,
    /// It left to make room.
    Evicted,
    /// A hard purge removed it.
    Purged,
    /// There are responses under the key, for other selecting headers.
    Variant,
    /// The last fetch failed, or its fill died.
    FillFailed,
    /// The last response could not be stored or shared.
    NotShareable,
    /// Memory has nothing, and what the disk has could not be said: only inspections tell of it.
    DiskUnknown,
}

impl MissReason {
    /// A word for `Cache-Status` details, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NeverSeen => "never-seen",
            Self::Evicted => "evicted",
            Self::Purged => "purged",
            Self::Variant => "variant",
            Self::FillFailed => "fill-failed",
            Self::NotShareable => "not-shareable",
            Self::DiskUnknown => "disk-unknown",
        }
    }
}

/// A bounded map that forgets its oldest keys.
#[derive(Debug)]
pub(crate) struct Memories<V> {
    values: HashMap<KeyHash, (u64, V)>,
    order: VecDeque<(u64, KeyHash)>,
    next: u64,
}

impl<V> Default for Memories<V> {
    fn default() -> Self {
        Self {
            values: HashMap::new(),
            order: VecDeque::new(),
            next: 0,
        }
    }
}

impl<V: Copy> Memories<V> {
    pub(crate) fn get(&self, key: KeyHash) -> Option<V> {
        self.values.get(&key).map(|(_, value)| *value)
    }

    pub(crate) fn remember(&mut self, key: KeyHash, value: V) {
        self.next += 1;
        self.values.insert(key, (self.next, value));
        self.order.push_back((self.next, key));
        while self.order.len() > KEYS_MAX {
            if let Some((sequence, key)) = self.order.pop_front()
                && self
                    .values
                    .get(&key)
                    .is_some_and(|(held, _)| *held == sequence)
            {
                self.values.remove(&key);
            }
        }
    }

    pub(crate) fn forget(&mut self, key: KeyHash) {
        self.values.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_and_the_newest_word_counts() {
        let mut memories = Memories::default();
        memories.remember(KeyHash(1), 1);
        memories.remember(KeyHash(2), 1);
        memories.remember(KeyHash(1), 2);
        for n in 0..KeyHash(KEYS_MAX as u128 - 1).0 {
            memories.remember(KeyHash(100 + n), 0);
        }
        assert_eq!(memories.get(KeyHash(1)), Some(2));
        assert_eq!(memories.get(KeyHash(2)), None);
        memories.remember(KeyHash(3), 3);
        assert_eq!(memories.get(KeyHash(1)), None);
        assert!(memories.values.len() <= KEYS_MAX && memories.order.len() <= KEYS_MAX);
    }
}
