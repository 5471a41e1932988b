//! What was copied from the disk of late, whoever it was for.
//!
//! What is copied again while no more was read than memory holds would have been found there, had it been stored; what is not
//! would only have pushed out something else before it left. What is sent from where it lies on the disk costs no more than
//! from memory: it counts for the time that passes, and is not worth a place.

use std::collections::{HashMap, VecDeque};

use crate::key::KeyHash;

/// Slots that are remembered, whatever their sizes.
const SLOTS_MAX: usize = 65_536;

/// A bounded memory of what was copied, the oldest forgotten first.
#[derive(Debug)]
pub(crate) struct Again {
    bytes_max: u64,
    /// When each slot was copied last, in bytes read before.
    copied_at: HashMap<KeyHash, u64>,
    order: VecDeque<(u64, KeyHash)>,
    read: u64,
}

impl Again {
    /// Remembers what was copied until `bytes_max` more are read.
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            copied_at: HashMap::new(),
            order: VecDeque::new(),
            read: 0,
        }
    }

    /// Notes that `bytes` of a slot are about to be read, in whatever way; says whether it was copied of late.
    pub(crate) fn read(&mut self, slot: KeyHash, bytes: u64) -> bool {
        self.read = self.read.saturating_add(bytes);
        self.forget();
        self.copied_at.contains_key(&slot)
    }

    /// Notes that a slot is copied.
    pub(crate) fn copied(&mut self, slot: KeyHash) {
        // No two are at one place.
        let at = self.read;
        self.read = at.saturating_add(1);
        self.copied_at.insert(slot, at);
        self.order.push_back((at, slot));
        self.forget();
    }

    fn forget(&mut self) {
        let oldest = self.read.saturating_sub(self.bytes_max);
        while let Some((at, slot)) = self.order.front().copied()
            && (at < oldest || self.order.len() > SLOTS_MAX)
        {
            self.order.pop_front();
            if self.copied_at.get(&slot) == Some(&at) {
                self.copied_at.remove(&slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(again: &mut Again, n: u128, bytes: u64) -> bool {
        let was_copied = again.read(KeyHash(n), bytes);
        again.copied(KeyHash(n));
        was_copied
    }

    #[test]
    fn what_is_copied_again_soon_is_known_and_what_is_not_is_forgotten() {
        let mut again = Again::new(1000);
        for n in 0..9 {
            assert!(!copy(&mut again, n, 100));
        }
        assert!(copy(&mut again, 0, 100), "900 bytes were read since");
        for n in 100..120 {
            assert!(!copy(&mut again, n, 100));
        }
        assert!(!copy(&mut again, 0, 100), "2000 bytes were read since");
        // Round and round through more than fits, nothing is ever copied again soon.
        for n in (0..50).cycle().take(500) {
            assert!(!copy(&mut again, 1000 + n, 100));
        }
        assert!(again.order.len() <= 11 && again.copied_at.len() <= 11);
        for n in 0..200_000 {
            copy(&mut again, n, 0);
        }
        assert!(again.order.len() <= SLOTS_MAX && again.copied_at.len() <= SLOTS_MAX);
    }

    /// Nothing but that: else what was copied before all the rest is sent as it lies would seem to be copied for ever.
    #[test]
    fn what_is_not_copied_is_not_known_and_lets_time_pass() {
        let mut again = Again::new(1000);
        again.copied(KeyHash(7));
        for n in 0..9 {
            assert!(!again.read(KeyHash(1), 100), "{n}");
            assert!(again.read(KeyHash(7), 0));
        }
        again.read(KeyHash(1), 100);
        assert!(!again.read(KeyHash(7), 0));
        assert!(again.order.is_empty() && again.copied_at.is_empty());
    }
}
