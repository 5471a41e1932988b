//! How a value and its end are kept: eight bytes, the end in Unix milliseconds (big-endian), then the value.

use bytes::Bytes;
use sled::IVec;

use crate::KvError;

/// The end of what has none.
pub(crate) const NO_END_MS: i64 = i64::MAX;

const END_BYTES: usize = 8;

/// A value with its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// The first moment at which it is not there any more.
    pub(crate) end_ms: i64,
    pub(crate) value: Bytes,
}

impl Record {
    /// A record that lives for `ttl_ms` from now.
    pub(crate) fn new(value: Bytes, ttl_ms: Option<i64>, now_ms: i64) -> Self {
        let end_ms = ttl_ms.map_or(NO_END_MS, |ttl_ms| now_ms.saturating_add(ttl_ms));
        Self { end_ms, value }
    }

    pub(crate) fn is_live(&self, now_ms: i64) -> bool {
        now_ms < self.end_ms
    }

    pub(crate) fn encode(&self) -> IVec {
        let mut bytes = Vec::with_capacity(END_BYTES + self.value.len());
        bytes.extend_from_slice(&self.end_ms.to_be_bytes());
        bytes.extend_from_slice(&self.value);
        IVec::from(bytes)
    }

    pub(crate) fn decode(bytes: &IVec) -> Result<Self, KvError> {
        let Some((end_ms, value)) = bytes.split_first_chunk::<END_BYTES>() else {
            return Err(KvError::Corrupt(format!(
                "a record has {} bytes only",
                bytes.len()
            )));
        };
        Ok(Self {
            end_ms: i64::from_be_bytes(*end_ms),
            value: Bytes::copy_from_slice(value),
        })
    }
}
