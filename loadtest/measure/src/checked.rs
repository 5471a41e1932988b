//! What segments' bytes were held against.

use serde::{Deserialize, Serialize};

/// What a segment was held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Against {
    /// The hash of what the origin has.
    Origin,
    /// The hash of what other users got.
    Agreement,
    /// Its length, and whether it is a sequence of whole boxes.
    Length,
}

/// Bytes of initialisation and media segments, by what they were held against; those with a fault included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Checked {
    origin_bytes: u64,
    agreement_bytes: u64,
    length_bytes: u64,
}

impl Checked {
    pub(crate) fn add(&mut self, against: Against, bytes: u64) {
        *match against {
            Against::Origin => &mut self.origin_bytes,
            Against::Agreement => &mut self.agreement_bytes,
            Against::Length => &mut self.length_bytes,
        } += bytes;
    }

    /// All that another one holds.
    pub fn merge(&mut self, other: &Self) {
        for against in [Against::Origin, Against::Agreement, Against::Length] {
            self.add(against, other.bytes(against));
        }
    }

    /// Those that were held against this.
    #[must_use]
    pub fn bytes(&self, against: Against) -> u64 {
        match against {
            Against::Origin => self.origin_bytes,
            Against::Agreement => self.agreement_bytes,
            Against::Length => self.length_bytes,
        }
    }

    /// Those of which every one was: by hash.
    #[must_use]
    pub fn hashed_bytes(&self) -> u64 {
        self.origin_bytes.saturating_add(self.agreement_bytes)
    }
}
