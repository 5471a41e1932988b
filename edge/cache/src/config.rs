//! What an operator may set.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::disk::DiskConfig;

/// The cache's part of the node's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// All memory that cached bytes may take, bytes: stored responses, fills in flight, and what slow readers still
    /// hold of responses that left. Never exceeded. What is remembered of purges and of clients' invalidations comes to it,
    /// at most 32 MiB, and with a disk tier what waits to be read into, at most 2 MiB for each thread and 32 MiB in all.
    /// Default 512 MiB; at least four times `object_bytes_max`.
    pub memory_bytes: u64,
    /// The largest response that is stored, bytes; larger ones stream through a window. Default 32 MiB; 64 KiB to
    /// 1 GiB.
    pub object_bytes_max: u64,
    /// The share of `memory_bytes` that fills in flight may take together. A response of known length that does not fit is
    /// passed on to its client and not stored; one of unknown length streams through. Default 128 MiB; `object_bytes_max` to
    /// `memory_bytes`.
    pub fill_bytes_max: u64,
    /// The share of `memory_bytes` that slow readers may hold of responses that left. Beyond it nothing leaves to make
    /// room for what is new, and answers from the disk have pieces of 32 KiB, or wait for one another. Default 128 MiB; 0 to
    /// `memory_bytes`.
    pub pinned_bytes_max: u64,
    /// What a response that streams through may be ahead of its slowest reader, bytes. Default 1 MiB; 64 KiB to 64 MiB.
    pub stream_window_bytes: u64,
    /// How long a reader waits for its next byte, and a response that streams through for its slowest reader, ms.
    /// Default 30000; 100 to 300000.
    pub fill_wait_ms: u64,
    /// Requests that wait for others' fetches, on the whole node; more go to the origin themselves. Default 16384; 1 to
    /// 1000000.
    pub waiters_max: u64,
    /// Variants (RFC 9111 section 4.1) of one key; one that nobody asked for of late leaves for one more. Default 32; 1 to
    /// 1024.
    pub variants_max: u64,
    /// Keys that are remembered because their last response could not be shared: requests for them do not wait for one
    /// another until one can. The oldest are forgotten. Default 16384; 0 to 1000000.
    pub unshared_keys_max: u64,
    /// A disk tier behind the memory. Default none.
    pub disk: Option<DiskConfig>,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            object_bytes_max: 32 << 20,
            fill_bytes_max: 128 << 20,
            pinned_bytes_max: 128 << 20,
            stream_window_bytes: 1 << 20,
            fill_wait_ms: 30_000,
            waiters_max: 16_384,
            variants_max: 32,
            unshared_keys_max: 16_384,
            disk: None,
        }
    }
}

/// A value that cannot be used.
#[derive(Debug, Error)]
#[error("{key} = {value}: expected {expected}")]
pub struct CacheConfigError {
    key: &'static str,
    value: u64,
    expected: String,
}

impl CacheConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// Names the first key whose value is out of range, the value, and the range.
    pub fn validate(&self) -> Result<(), CacheConfigError> {
        let between = |key, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(CacheConfigError {
                key,
                value,
                expected: format!("{low} to {high}"),
            })
        };
        let memory = self.memory_bytes;
        let object = self.object_bytes_max;
        between("object_bytes_max", object, 64 << 10, 1 << 30)?;
        between("memory_bytes", memory, 4 * object, 1 << 42)?;
        between("fill_bytes_max", self.fill_bytes_max, object, memory)?;
        between("pinned_bytes_max", self.pinned_bytes_max, 0, memory)?;
        let window = self.stream_window_bytes;
        between("stream_window_bytes", window, 64 << 10, 64 << 20)?;
        between("fill_wait_ms", self.fill_wait_ms, 100, 300_000)?;
        between("waiters_max", self.waiters_max, 1, 1_000_000)?;
        between("variants_max", self.variants_max, 1, 1024)?;
        between("unshared_keys_max", self.unshared_keys_max, 0, 1_000_000)
    }
}
