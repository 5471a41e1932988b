//! What the pipeline is bounded by.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineConfig {
    /// Where files lie while they are worked on.
    pub scratch: ScratchConfig,
    /// How much is done at once.
    #[serde(default)]
    pub parallel: ParallelConfig,
    /// A stage's tries before it is given up, its event a dead letter and the creator told. Default 5, range 1 to 20.
    #[serde(default = "tries")]
    pub tries: u32,
    /// The wait after a first failure, milliseconds; doubles with each further one. Default 1 000, range 1 to 60 000.
    #[serde(default = "retry_base_ms")]
    pub retry_base_ms: u64,
    /// The longest wait between tries, milliseconds. Default 60 000, range 1 to 3 600 000.
    #[serde(default = "retry_max_ms")]
    pub retry_max_ms: u64,
}

/// The scratch folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScratchConfig {
    /// The folder; emptied at start, and of one process only. Required.
    pub dir: PathBuf,
    /// Originals kept at once, bytes; what comes after waits. The renditions of what is being worked on come on top of
    /// it, up to about as much again. Default 50 GB, range 20 MB to 100 TB.
    #[serde(default = "scratch_bytes_max")]
    pub bytes_max: u64,
}

/// How many items each stage works on at once, in one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParallelConfig {
    /// Probes. Default 2, range 1 to 64.
    pub validate: usize,
    /// First passes. Default 1, range 1 to 64.
    pub lowest: usize,
    /// Second passes. Default 1, range 1 to 64.
    pub rest: usize,
    /// Packagings. Default 2, range 1 to 64.
    pub package: usize,
    /// Thumbnail makers. Default 1, range 1 to 64.
    pub art: usize,
}

impl Default for ParallelConfig {
    fn default() -> Self {
        Self {
            validate: 2,
            lowest: 1,
            rest: 1,
            package: 2,
            art: 1,
        }
    }
}

fn tries() -> u32 {
    5
}

fn retry_base_ms() -> u64 {
    1_000
}

fn retry_max_ms() -> u64 {
    60_000
}

fn scratch_bytes_max() -> u64 {
    50_000_000_000
}

impl PipelineConfig {
    /// With every default.
    #[must_use]
    pub fn new(scratch_dir: PathBuf) -> Self {
        Self {
            scratch: ScratchConfig {
                dir: scratch_dir,
                bytes_max: scratch_bytes_max(),
            },
            parallel: ParallelConfig::default(),
            tries: tries(),
            retry_base_ms: retry_base_ms(),
            retry_max_ms: retry_max_ms(),
        }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// A line for each key whose value cannot be used, with what was expected.
    pub fn validate(&self) -> Result<(), String> {
        let parallel = |count: usize| (u64::try_from(count).unwrap_or(u64::MAX), 1, 64);
        let faults: Vec<String> = [
            (
                "scratch.bytes_max",
                (self.scratch.bytes_max, 20_000_000, 100_000_000_000_000),
            ),
            ("parallel.validate", parallel(self.parallel.validate)),
            ("parallel.lowest", parallel(self.parallel.lowest)),
            ("parallel.rest", parallel(self.parallel.rest)),
            ("parallel.package", parallel(self.parallel.package)),
            ("parallel.art", parallel(self.parallel.art)),
            ("tries", (u64::from(self.tries), 1, 20)),
            ("retry_base_ms", (self.retry_base_ms, 1, 60_000)),
            ("retry_max_ms", (self.retry_max_ms, 1, 3_600_000)),
        ]
        .into_iter()
        .filter(|(_, (value, min, max))| !(min..=max).contains(&value))
        .map(|(key, (value, min, max))| format!("{key} = {value}: expected {min} to {max}"))
        .collect();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults.join("\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_range_is_named() {
        let mut config = PipelineConfig::new("/tmp/scratch".into());
        assert_eq!(config.validate(), Ok(()));
        config.tries = 0;
        config.parallel.rest = 65;
        let faults = config.validate().unwrap_err();
        assert_eq!(
            faults,
            "parallel.rest = 65: expected 1 to 64\ntries = 0: expected 1 to 20"
        );
    }
}
