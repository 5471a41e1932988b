//! What was read from the disk of late without being stored in memory.
//!
//! What is read again while no more was read than memory holds would have been found there, had it been stored; what is not
//! would only have pushed out something else before it left.

use std::collections::{HashMap, VecDeque};

use crate::key::KeyHash;

/// Slots that are remembered, whatever their sizes.
const SLOTS_MAX: usize = 65_536;

/// A bounded memory of what was read, the oldest forgotten first.
#[derive(Debug)]
pub(crate) struct Again {
    bytes_max: u64,
    /// When each slot was read last, in bytes read before.
    read_at: HashMap<KeyHash, u64>,
    order: VecDeque<(u64, KeyHash)>,
    read: u64,
}

impl Again {
    /// Remembers what was read until `bytes_max` more are.
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            read_at: HashMap::new(),
            order: VecDeque::new(),
            read: 0,
        }
    }

    /// Notes that `bytes` of a slot are read; says whether it was read of late.
    pub(crate) fn note(&mut self, slot: KeyHash, bytes: u64) -> bool {
        let at = self.read;
        // Each counts for something, so that no two are at one place.
        self.read = at.saturating_add(bytes.max(1));
        let former = self.read_at.insert(slot, at);
        self.order.push_back((at, slot));
        let oldest = self.read.saturating_sub(self.bytes_max);
        while let Some((at, slot)) = self.order.front().copied()
            && (at < oldest || self.order.len() > SLOTS_MAX)
        {
            self.order.pop_front();
            if self.read_at.get(&slot) == Some(&at) {
                self.read_at.remove(&slot);
            }
        }
        former.is_some_and(|former| former >= oldest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_again_soon_is_known_and_what_is_not_is_forgotten() {
        let mut again = Again::new(1000);
        for n in 0..9 {
            assert!(!again.note(KeyHash(n), 100));
        }
        assert!(again.note(KeyHash(0), 100), "900 bytes were read since");
        for n in 100..120 {
            assert!(!again.note(KeyHash(n), 100));
        }
        assert!(!again.note(KeyHash(0), 100), "2000 bytes were read since");
        // Round and round through more than fits, nothing is ever read again soon.
        for n in (0..50).cycle().take(500) {
            assert!(!again.note(KeyHash(1000 + n), 100));
        }
        assert!(again.order.len() <= 11 && again.read_at.len() <= 11);
        for n in 0..200_000 {
            again.note(KeyHash(n), 0);
        }
        assert!(again.order.len() <= SLOTS_MAX && again.read_at.len() <= SLOTS_MAX);
    }
}
