//! For which keys something was done a moment ago: a table of fixed size, without locks, that errs towards doing it again.

use std::sync::atomic::{AtomicU64, Ordering};

use mcsp_edge_cache::engine::KeyHash;

/// Keys that are remembered; one that comes later takes the place of another.
const PLACES: usize = 1 << 14;
/// The lower bits of a place: when, ms, modulo 4.7 hours. Above them lie bits of the key's hash.
const TIME_BITS: u32 = 24;
const TIME: u64 = (1 << TIME_BITS) - 1;

/// What was done lately; 128 KiB.
#[derive(Debug)]
pub(super) struct Lately {
    places: Box<[AtomicU64]>,
    again_ms: u64,
}

impl Lately {
    /// Of nothing yet. After `again_ms` it is time again, at most an hour.
    pub(super) fn new(again_ms: u64) -> Self {
        Self {
            places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
            again_ms,
        }
    }

    /// Is it time to do it for this key, at `now_ms`? If it is, it counts as done. Two who ask at once may both be told yes; one
    /// in 10^12 is told no for another key's sake.
    pub(super) fn is_due(&self, key: KeyHash, now_ms: i64) -> bool {
        let now = now_ms as u64 & TIME;
        let print = (key.0 >> 64) as u64 & !TIME;
        let place = &self.places[key.0 as usize % PLACES];
        let held = place.load(Ordering::Relaxed);
        let since_ms = now.wrapping_sub(held) & TIME;
        if held & !TIME == print && since_ms < self.again_ms {
            return false;
        }
        place.store(print | now, Ordering::Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_790_000_000_000;

    #[test]
    fn each_key_has_its_time_again_and_a_clock_that_is_set_back_holds_nothing_up() {
        let lately = Lately::new(1_000);
        let (one, other) = (KeyHash::of("/a"), KeyHash::of("/b"));
        assert!(lately.is_due(one, NOW_MS));
        assert!(lately.is_due(other, NOW_MS));
        assert!(!lately.is_due(one, NOW_MS));
        assert!(!lately.is_due(one, NOW_MS + 999));
        assert!(lately.is_due(one, NOW_MS + 1_000));
        assert!(!lately.is_due(one, NOW_MS + 1_999));
        assert!(lately.is_due(one, NOW_MS - 5_000));
    }

    #[test]
    fn the_time_runs_on_where_what_is_kept_of_it_begins_anew() {
        let lately = Lately::new(1_000);
        let key = KeyHash::of("/a");
        let end_ms = (NOW_MS | TIME as i64) - 10;
        assert!(lately.is_due(key, end_ms));
        assert!(!lately.is_due(key, end_ms + 500));
        assert!(lately.is_due(key, end_ms + 1_000));
    }

    #[test]
    fn more_keys_than_places_are_done_more_often_and_never_less() {
        let lately = Lately::new(1_000);
        let keys: Vec<_> = (0..4 * PLACES)
            .map(|n| KeyHash::of(&n.to_string()))
            .collect();
        let due = |now_ms| {
            let due = keys.iter().filter(|key| lately.is_due(**key, now_ms));
            due.count()
        };
        assert_eq!(due(NOW_MS), keys.len());
        let again = due(NOW_MS + 1);
        assert!(again > keys.len() - PLACES && again < keys.len(), "{again}");
    }
}
