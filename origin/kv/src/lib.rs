//! The key-value engine: lifetimes, counters, compare-and-set.
//!
//! Holds only what may be rebuilt or is flushed elsewhere: sessions, counters, caches, leases. The scheme of the
//! configured URI picks the engine; each passes the same [`contract`] suite.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use thiserror::Error;

/// Why a call failed.
#[derive(Debug, Error)]
pub enum KvError {
    /// The engine is away or overloaded; the call may have had its effect.
    #[error("key-value engine is not available: {0}")]
    Unavailable(String),
    /// The key, the value or the counter cannot be used.
    #[error("key-value call refused: {0}")]
    Invalid(String),
    /// The store's files are damaged.
    #[error("key-value store is damaged: {0}")]
    Corrupt(String),
}

impl KvError {
    /// May the same call succeed later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// The longest key, bytes.
pub const KEY_BYTES_MAX: usize = 512;
/// The largest value, bytes.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;
/// The most entries one scan returns.
pub const SCAN_ENTRIES_MAX: u32 = 1000;

/// What [`KeyValue::compare_and_set`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// True when the new value is in place.
    pub swapped: bool,
    /// What is there after the call.
    pub current: Option<Bytes>,
}

/// A store of small values with lifetimes. Every method is atomic for its key. What a call acknowledged survives a
/// kill of the process, though not a loss of power.
#[async_trait]
pub trait KeyValue: Send + Sync + Debug {
    /// The value, unless it is absent or its lifetime has ended.
    async fn get(&self, key: &str) -> Result<Option<Bytes>, KvError>;
    /// Sets the value; `ttl: None` means without end.
    async fn put(&self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<(), KvError>;
    /// Removes the value; true when there was one.
    async fn delete(&self, key: &str) -> Result<bool, KvError>;
    /// Adds to a counter (absent counts as 0) and returns its new value; `ttl` is set only when the counter is new.
    async fn increment(&self, key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, KvError>;
    /// Replaces `expected` (`None`: absent) by `value` (`None`: delete) if that is what is there.
    async fn compare_and_set(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: Option<Bytes>,
        ttl: Option<Duration>,
    ) -> Result<Swap, KvError>;
    /// Live entries whose keys begin with `prefix` and come after `after`, in key order, at most `entries_max`.
    async fn scan(&self, prefix: &str, after: &str, entries_max: u32) -> Result<Vec<(String, Bytes)>, KvError>;
}

/// A store that many owners share.
pub type SharedKv = Arc<dyn KeyValue>;
