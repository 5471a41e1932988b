//! Cache keys: a text, and a hash of it that every table uses.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

/// 128 bits of a key's text, or of a key's text and a variant's selecting headers. Stable over restarts and versions
/// (XXH3 with seed 0), because the disk tier keeps it. It is no secret and no signature: whoever finds two texts with
/// one hash wins nothing, since each lookup compares the text as well.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyHash(pub u128);

impl KeyHash {
    /// The hash of a key's text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(XxHash3_128::oneshot(text.as_bytes()))
    }

    /// The hash of a variant of this key, from its selecting headers in canonical form.
    #[must_use]
    pub(crate) fn variant(self, selecting: &[u8]) -> Self {
        let seed = (self.0 as u64) ^ ((self.0 >> 64) as u64).rotate_left(32);
        Self(XxHash3_128::oneshot_with_seed(seed, selecting))
    }

    /// What stands for all variants of a key with this text.
    #[must_use]
    pub(crate) fn of_variants(key: Key<'_>) -> Self {
        // Not the key's own: two texts with one hash have different ones here.
        key.hash.variant(key.text.as_bytes())
    }

    /// Eight bits for spreading over shards, of the part that hash tables use least.
    pub(crate) fn shard(self) -> usize {
        usize::from((self.0 >> 120) as u8)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A cache key that borrows its text: what the hit path uses. `ng/` and `global/` are part of the text, so that they
/// never share a key.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    hash: KeyHash,
    text: &'a str,
}

impl<'a> Key<'a> {
    /// The key of a text such as `/media/global/c_ng_…/v360/1.m4s`. The caller has normalised it.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self {
            hash: KeyHash::of(text),
            text,
        }
    }

    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        self.hash
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The same key with a text of its own.
    #[must_use]
    pub fn to_owned(&self) -> OwnedKey {
        OwnedKey {
            hash: self.hash,
            text: Arc::from(self.text),
        }
    }
}

/// A cache key that shares its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OwnedKey {
    hash: KeyHash,
    text: Arc<str>,
}

impl OwnedKey {
    /// The key of a text.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        Self {
            hash: KeyHash::of(&text),
            text,
        }
    }

    /// `key` with `text`, which is the same as its own.
    pub(crate) fn sharing(key: Key<'_>, text: Arc<str>) -> Self {
        debug_assert_eq!(*text, *key.text);
        Self {
            hash: key.hash,
            text,
        }
    }

    /// The same key, borrowed.
    #[must_use]
    pub fn borrow(&self) -> Key<'_> {
        Key {
            hash: self.hash,
            text: &self.text,
        }
    }

    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        self.hash
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }
}
