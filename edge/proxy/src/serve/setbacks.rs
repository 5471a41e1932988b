//! Which objects' origins failed a moment ago, and how often: so that one that breaks off again and again, or is down, is not
//! asked anew for each client. A table of fixed size, without locks, that errs towards asking.

use std::sync::atomic::{AtomicU64, Ordering};

use mcsp_edge_cache::engine::KeyHash;

/// Objects that are remembered; one that comes later takes the place of another.
const PLACES: usize = 1 << 14;
/// For how long setbacks count together, ms: then an object's origin is asked as if there had been none. As long as the
/// `Retry-After` that clients are told.
const WINDOW_MS: u64 = 2_000;
/// Setbacks of an object after which its origin is left alone for what is left of the time. One client's patience with an
/// answer that breaks off is about as much.
const SETBACKS_MAX: u64 = 8;

/// The lower bits of a place: how many. Above them: when the first was, ms, modulo 4.7 hours; then bits of the key's hash.
const COUNT_BITS: u32 = 8;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
const TIME_BITS: u32 = 24;
const TIME: u64 = (1 << TIME_BITS) - 1;
const PRINT: u64 = !(COUNT | TIME << COUNT_BITS);

/// Setbacks by object; 128 KiB.
#[derive(Debug)]
pub(crate) struct Setbacks {
    places: Box<[AtomicU64]>,
}

impl Setbacks {
    /// None yet.
    pub(crate) fn new() -> Self {
        Self {
            places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Counts one at `now_ms`.
    pub(crate) fn note(&self, key: KeyHash, now_ms: i64) {
        let place = self.place(key);
        let held = place.load(Ordering::Relaxed);
        let next = match count_of(held, key, now_ms) {
            0 => print_of(key) | time_of(now_ms) << COUNT_BITS | 1,
            // More than is looked at need not be known.
            COUNT => held,
            _ => held + 1,
        };
        // Of two that come at once one may go uncounted.
        place.store(next, Ordering::Relaxed);
    }

    /// The object was had.
    pub(crate) fn forget(&self, key: KeyHash) {
        let place = self.place(key);
        let held = place.load(Ordering::Relaxed);
        if held != 0 && held & PRINT == print_of(key) {
            place.store(0, Ordering::Relaxed);
        }
    }

    /// Is its origin to be left alone at `now_ms`?
    pub(crate) fn are_many(&self, key: KeyHash, now_ms: i64) -> bool {
        self.count(key, now_ms) >= SETBACKS_MAX
    }

    /// Was there one of late, at `now_ms`?
    pub(crate) fn are_any(&self, key: KeyHash, now_ms: i64) -> bool {
        self.count(key, now_ms) > 0
    }

    fn count(&self, key: KeyHash, now_ms: i64) -> u64 {
        count_of(self.place(key).load(Ordering::Relaxed), key, now_ms)
    }

    fn place(&self, key: KeyHash) -> &AtomicU64 {
        &self.places[key.0 as usize % PLACES]
    }
}

fn print_of(key: KeyHash) -> u64 {
    (key.0 >> 64) as u64 & PRINT
}

fn time_of(now_ms: i64) -> u64 {
    now_ms as u64 & TIME
}

/// How many there were of a key within the time, by what its place holds.
fn count_of(held: u64, key: KeyHash, now_ms: i64) -> u64 {
    let since_ms = time_of(now_ms).wrapping_sub(held >> COUNT_BITS) & TIME;
    if held & PRINT == print_of(key) && since_ms < WINDOW_MS {
        held & COUNT
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_790_000_000_000;

    fn noted(times: u64) -> (Setbacks, KeyHash) {
        let (setbacks, key) = (Setbacks::new(), KeyHash::of("/a"));
        for _ in 0..times {
            setbacks.note(key, NOW_MS);
        }
        (setbacks, key)
    }

    #[test]
    fn an_origin_is_left_alone_for_the_rest_of_the_time_and_then_asked_again() {
        let (setbacks, key) = noted(0);
        assert!(!setbacks.are_any(key, NOW_MS));
        let (setbacks, key) = noted(SETBACKS_MAX - 1);
        assert!(!setbacks.are_many(key, NOW_MS) && setbacks.are_any(key, NOW_MS + 1_999));
        assert!(!setbacks.are_any(key, NOW_MS + 2_000));
        // The time runs from the first.
        setbacks.note(key, NOW_MS + 1_500);
        assert!(setbacks.are_many(key, NOW_MS + 1_999));
        assert!(!setbacks.are_many(key, NOW_MS + 2_000));
        setbacks.note(key, NOW_MS + 2_000);
        assert!(!setbacks.are_many(key, NOW_MS + 2_000));
        assert!(!setbacks.are_many(KeyHash::of("/b"), NOW_MS));
    }

    #[test]
    fn what_was_had_since_makes_up_for_them() {
        let (setbacks, key) = noted(SETBACKS_MAX);
        setbacks.forget(KeyHash::of("/b"));
        assert!(setbacks.are_many(key, NOW_MS));
        setbacks.forget(key);
        assert!(!setbacks.are_many(key, NOW_MS));
    }

    #[test]
    fn ever_more_of_them_and_a_clock_that_is_set_back_hold_nothing_up_for_long() {
        let (setbacks, key) = noted(1_000);
        assert!(setbacks.are_many(key, NOW_MS));
        assert!(!setbacks.are_many(key, NOW_MS + 2_000));
        assert!(!setbacks.are_many(key, NOW_MS - 1));
        // Where what is kept of the time begins anew.
        let end_ms = (NOW_MS | TIME as i64) - 10;
        for _ in 0..SETBACKS_MAX {
            setbacks.note(key, end_ms);
        }
        assert!(setbacks.are_many(key, end_ms + 500));
        assert!(!setbacks.are_many(key, end_ms + 2_000));
    }
}
