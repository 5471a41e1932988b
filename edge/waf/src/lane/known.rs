//! Values that a rule set has cleared before: a viewer sends the same `User-Agent` and `Referer` with every segment.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};

/// Places of one thread's table; a new value takes the place of an old one.
const PLACES: usize = 512;
/// Longest value that is remembered, bytes: a table is at most 256 KiB and its bookkeeping.
const VALUE_BYTES_MAX: usize = 512;

#[derive(Debug, Default)]
struct Place {
    /// Which rule set, and which field; 0 is nothing.
    owner: u64,
    value: Vec<u8>,
}

struct Table {
    places: Vec<Place>,
    hasher: RandomState,
}

thread_local! {
    static TABLE: RefCell<Table> = RefCell::new(Table {
        places: (0..PLACES).map(|_| Place::default()).collect(),
        hasher: RandomState::new(),
    });
}

/// Whether `owner` has cleared exactly this value; if not, asks `clears` and remembers a yes. A thread that is ending
/// remembers nothing.
pub(super) fn or_else(owner: u64, value: &[u8], clears: impl FnOnce() -> Cleared) -> bool {
    if value.len() > VALUE_BYTES_MAX {
        return clears() != Cleared::No;
    }
    let place = TABLE.try_with(|table| {
        let table = table.borrow();
        let place = usize::try_from(table.hasher.hash_one((owner, value))).unwrap_or(0) % PLACES;
        let known = &table.places[place];
        (place, known.owner == owner && known.value == value)
    });
    let Ok((place, is_known)) = place else {
        return clears() != Cleared::No;
    };
    if is_known {
        return true;
    }
    let cleared = clears();
    if cleared == Cleared::ForItself {
        let _ = TABLE.try_with(|table| {
            let known = &mut table.borrow_mut().places[place];
            known.owner = owner;
            known.value.clear();
            known.value.extend_from_slice(value);
        });
    }
    cleared != Cleared::No
}

/// What came of looking at a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cleared {
    /// It needs every rule.
    No,
    /// Together with the other values of its request.
    WithOthers,
    /// Whatever it comes with.
    ForItself,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_cleared_for_itself_is_remembered() {
        for (cleared, asked) in [
            (Cleared::ForItself, 1),
            (Cleared::WithOthers, 3),
            (Cleared::No, 3),
        ] {
            let owner = 100 + cleared as u64;
            let mut count = 0;
            for _ in 0..3 {
                let yes = or_else(owner, b"value", || {
                    count += 1;
                    cleared
                });
                assert_eq!(yes, cleared != Cleared::No);
            }
            assert_eq!(count, asked, "{cleared:?}");
        }
        assert!(!or_else(999, b"value", || Cleared::No));
        assert!(!or_else(101, b"other", || Cleared::No));
    }

    #[test]
    fn long_values_are_judged_each_time() {
        let long = vec![b'a'; VALUE_BYTES_MAX + 1];
        assert!(or_else(1, &long, || Cleared::ForItself));
        assert!(!or_else(1, &long, || Cleared::No));
    }
}
