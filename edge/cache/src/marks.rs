//! Keys with the generation in which each was last marked: bounded, the oldest marks give way to a floor.

use std::collections::{BTreeMap, HashMap};

use crate::key::KeyHash;

/// Keys that are remembered one by one.
pub(crate) const MARKS_MAX: usize = 65_536;
/// Bytes of memory that a mark is counted as: its places in both tables, with the room that those keep free.
pub(crate) const MARK_BYTES: usize = 128;

#[derive(Debug, Default)]
pub(crate) struct Marks {
    newest: HashMap<KeyHash, u64>,
    /// By generation, each of which marks one key.
    order: BTreeMap<u64, KeyHash>,
    /// Marks up to this generation are remembered no more: any key may have been marked then.
    floor: u64,
}

impl Marks {
    /// Marks a key. Generations only ever go up.
    pub(crate) fn enter(&mut self, key: KeyHash, generation: u64) {
        if let Some(former) = self.newest.insert(key, generation) {
            self.order.remove(&former);
        }
        self.order.insert(generation, key);
        if self.order.len() > MARKS_MAX
            && let Some((oldest, forgotten)) = self.order.pop_first()
        {
            self.newest.remove(&forgotten);
            self.floor = self.floor.max(oldest);
        }
    }

    /// The last mark of a key if it is later than `generation`, otherwise 0. What was forgotten counts as a mark of it.
    pub(crate) fn since(&self, generation: u64, key: KeyHash) -> u64 {
        let mark = self.newest.get(&key).copied().unwrap_or(0);
        let last = mark.max(self.floor);
        if last > generation { last } else { 0 }
    }

    /// Forgets every mark: something else says as much by now.
    pub(crate) fn clear(&mut self) {
        self.newest.clear();
        self.order.clear();
    }

    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    pub(crate) fn set_floor(&mut self, floor: u64) {
        self.floor = self.floor.max(floor);
    }

    /// Every mark, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, KeyHash)> + '_ {
        self.order
            .iter()
            .map(|(generation, key)| (*generation, *key))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.order.len() * MARK_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_takes_one_place_and_the_oldest_give_way_to_a_floor() {
        let mut marks = Marks::default();
        for generation in 1..=10 {
            marks.enter(KeyHash(1), generation);
        }
        assert_eq!(marks.bytes(), MARK_BYTES);
        assert_eq!(marks.since(9, KeyHash(1)), 10);
        assert_eq!(marks.since(10, KeyHash(1)), 0);
        assert_eq!(marks.since(0, KeyHash(2)), 0);
        let max = MARKS_MAX as u64;
        for generation in 11..=10 + max {
            marks.enter(KeyHash(u128::from(generation)), generation);
        }
        // The first key was forgotten, so any key may be it, but not for what came after its mark.
        assert_eq!(marks.floor(), 10);
        assert_eq!(marks.since(9, KeyHash(2)), 10);
        assert_eq!(marks.since(10, KeyHash(2)), 0);
        assert_eq!(marks.since(10, KeyHash(11)), 11);
        assert_eq!(marks.iter().count(), MARKS_MAX);
        assert_eq!(marks.newest.len(), MARKS_MAX);
    }
}
