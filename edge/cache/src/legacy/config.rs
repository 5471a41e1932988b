//! What an operator may set.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The cache's part of the node's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// Bytes that complete objects may take, bodies and heads. Default 512 MiB; at least four times
    /// `object_bytes_max`.
    pub memory_bytes: u64,
    /// The largest object that is cached, bytes; larger ones pass through. Default 32 MiB; 64 KiB to 1 GiB.
    pub object_bytes_max: u64,
    /// Bytes that fills in flight may take together; a fill that does not fit passes through uncached. Default
    /// 128 MiB; at least `object_bytes_max`.
    pub fill_bytes_max: u64,
    /// How long others wait for one request's fetch before another may try, ms. Default 5000; 100 to 60000.
    pub lock_age_ms: u64,
    /// How long one request waits for others' fetches in all before it goes to the origin itself, uncached, ms.
    /// Default 10000; 100 to 120000.
    pub lock_wait_ms: u64,
    /// How long a reader of a fill waits for its next byte before it gives up, ms. Default 30000; 100 to 300000.
    pub fill_wait_ms: u64,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            memory_bytes: 512 << 20,
            object_bytes_max: 32 << 20,
            fill_bytes_max: 128 << 20,
            lock_age_ms: 5_000,
            lock_wait_ms: 10_000,
            fill_wait_ms: 30_000,
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
        between("object_bytes_max", self.object_bytes_max, 64 << 10, 1 << 30)?;
        between(
            "memory_bytes",
            self.memory_bytes,
            4 * self.object_bytes_max,
            1 << 42,
        )?;
        between(
            "fill_bytes_max",
            self.fill_bytes_max,
            self.object_bytes_max,
            1 << 42,
        )?;
        between("lock_age_ms", self.lock_age_ms, 100, 60_000)?;
        between("lock_wait_ms", self.lock_wait_ms, 100, 120_000)?;
        between("fill_wait_ms", self.fill_wait_ms, 100, 300_000)
    }
}
