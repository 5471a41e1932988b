//! Which keys' answers turned out to be somebody's own, so that requests for them do not wait for one another's.

use std::fmt;

use pingora_cache::predictor::{CacheablePredictor as _, Predictor};
use pingora_cache::{CacheKey, NoCacheReason};

use crate::key::KeyHash;

/// Tables, each with its own lock.
const SHARDS: usize = 16;

/// Why an answer is not shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Its origin says so, or says nothing that would let it be kept.
    Origin,
    /// It is larger than what is stored.
    TooLarge,
}

/// A memory of slots, bounded: what was unshared longest ago is forgotten. Until then it holds until an answer is stored
/// again: who leads alone stores what may be stored, so no clock is needed to find out.
pub(crate) struct Unshared {
    predictor: Option<Predictor<SHARDS>>,
}

impl Unshared {
    /// Remembers about `keys_max` slots; none with 0.
    pub(crate) fn new(keys_max: u64) -> Self {
        let keys_max = usize::try_from(keys_max).unwrap_or(usize::MAX);
        Self {
            predictor: (keys_max > 0).then(|| Predictor::new(keys_max.div_ceil(SHARDS), None)),
        }
    }

    /// Was the last answer for the slot not shared?
    pub(crate) fn has(&self, slot: KeyHash) -> bool {
        let predictor = self.predictor.as_ref();
        predictor.is_some_and(|predictor| !predictor.cacheable_prediction(&key_of(slot)))
    }

    /// An answer was not shared.
    pub(crate) fn learn(&self, slot: KeyHash, why: Why) {
        let reason = match why {
            Why::Origin => NoCacheReason::OriginNotCache,
            Why::TooLarge => NoCacheReason::ResponseTooLarge,
        };
        if let Some(predictor) = &self.predictor {
            predictor.mark_uncacheable(&key_of(slot), reason);
        }
    }

    /// An answer is being stored.
    pub(crate) fn forget(&self, slot: KeyHash) {
        if let Some(predictor) = &self.predictor {
            predictor.mark_cacheable(&key_of(slot));
        }
    }
}

/// The predictor goes by the hash alone, which is ours.
fn key_of(slot: KeyHash) -> CacheKey {
    let mut key = CacheKey::new(Vec::new(), String::new());
    key.set_primary_bin_override(slot.0.to_be_bytes());
    key
}

impl fmt::Debug for Unshared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unshared")
            .field("is_on", &self.predictor.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unshared_is_known_until_it_is_stored_and_what_is_oldest_is_forgotten() {
        let unshared = Unshared::new(64);
        let slot = |n: u32| KeyHash::of(&n.to_string());
        unshared.learn(slot(0), Why::Origin);
        unshared.learn(slot(1), Why::TooLarge);
        assert!(unshared.has(slot(0)) && unshared.has(slot(1)) && !unshared.has(slot(2)));
        unshared.forget(slot(0));
        assert!(!unshared.has(slot(0)) && unshared.has(slot(1)));
        for n in 100..10_000 {
            unshared.learn(slot(n), Why::Origin);
        }
        assert!(!unshared.has(slot(1)));
        let known = (0..10_000).filter(|n| unshared.has(slot(*n))).count();
        assert!((1..=64).contains(&known), "{known}");
        let none = Unshared::new(0);
        none.learn(slot(0), Why::Origin);
        assert!(!none.has(slot(0)));
    }
}
