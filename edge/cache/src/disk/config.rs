//! What an operator may set of the disk tier.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The disk tier's part of the configuration, `[cache.disk]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskConfig {
    /// The folder that the tier keeps its files in, and nobody else does. Made when it is missing. What was purged is
    /// kept beside it, in files that have `.purges` and `.lineage` after its name: the cache does not start when those
    /// cannot be written, so they had better not lie on the cache's disk. No default.
    pub dir: PathBuf,
    /// Bytes that the folder may take in all. Default 8 GiB; 64 MiB to 4 TiB. Another value than the one that the
    /// folder was made with empties it.
    #[serde(default = "default_bytes")]
    pub bytes: u64,
    /// How long one read may take before it counts as a miss, ms. Default 500; 10 to 60000.
    #[serde(default = "default_read_timeout_ms")]
    pub read_timeout_ms: u64,
    /// How long one batch of writes (4 MiB) may take before the disk counts as slow, ms. Default 5000; 10 to 120000.
    #[serde(default = "default_write_timeout_ms")]
    pub write_timeout_ms: u64,
    /// Bytes that may wait to be written; what does not fit stays in memory only and is counted. Default 64 MiB;
    /// 1 MiB to 16 GiB.
    #[serde(default = "default_queue_bytes_max")]
    pub queue_bytes_max: u64,
}

fn default_bytes() -> u64 {
    8 << 30
}

fn default_read_timeout_ms() -> u64 {
    500
}

fn default_write_timeout_ms() -> u64 {
    5_000
}

fn default_queue_bytes_max() -> u64 {
    64 << 20
}

/// A value that cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("disk.{key} = {value}: expected {expected}")]
pub struct DiskConfigError {
    key: &'static str,
    value: String,
    expected: String,
}

impl DiskConfig {
    /// A tier in `dir` with every default.
    #[must_use]
    pub fn in_dir(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            bytes: default_bytes(),
            read_timeout_ms: default_read_timeout_ms(),
            write_timeout_ms: default_write_timeout_ms(),
            queue_bytes_max: default_queue_bytes_max(),
        }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// Names the first key whose value is out of range, the value, and the range.
    pub fn validate(&self) -> Result<(), DiskConfigError> {
        let between = |key, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(DiskConfigError {
                key,
                value: value.to_string(),
                expected: format!("{low} to {high}"),
            })
        };
        if self.dir.as_os_str().is_empty() {
            return Err(DiskConfigError {
                key: "dir",
                value: "\"\"".to_owned(),
                expected: "the path of a folder".to_owned(),
            });
        }
        between("bytes", self.bytes, 64 << 20, 4 << 40)?;
        between("read_timeout_ms", self.read_timeout_ms, 10, 60_000)?;
        between("write_timeout_ms", self.write_timeout_ms, 10, 120_000)?;
        between("queue_bytes_max", self.queue_bytes_max, 1 << 20, 16 << 30)
    }
}

#[cfg(test)]
mod tests {
    use super::DiskConfig;

    #[test]
    fn the_value_that_cannot_be_used_is_named() {
        let config = DiskConfig {
            bytes: 1,
            ..DiskConfig::in_dir("cache")
        };
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "disk.bytes = 1: expected 67108864 to 4398046511104"
        );
        assert!(DiskConfig::in_dir("").validate().is_err());
        assert!(DiskConfig::in_dir("cache").validate().is_ok());
    }
}
