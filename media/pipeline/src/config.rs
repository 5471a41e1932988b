//! Bounds of the pipeline.

use mcsp_events::consumer::{ConsumerOptions, RetryPolicy};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{key} = {value}: expected {expected}")]
pub struct PipelineConfigError {
    /// The key.
    pub key: &'static str,
    /// Its value.
    pub value: String,
    /// What can be used.
    pub expected: &'static str,
}

/// How the stages run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PipelineConfig {
    /// Jobs at once.
    pub parallel: ParallelConfig,
    /// What happens after a failure.
    pub retry: RetryConfig,
}

/// Jobs at once, by stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParallelConfig {
    /// Downloads and probes; default 4; 1 to 64.
    pub ingest: usize,
    /// First passes; default 2; 1 to 64.
    pub lowest: usize,
    /// Second passes, which keep several encoders busy each; default 1; 1 to 64.
    pub rest: usize,
    /// Items being packaged; default 4; 1 to 64.
    pub package: usize,
    /// Items being pictured; default 1; 1 to 64.
    pub art: usize,
    /// Objects that one item sends at once, each of them in memory; default 8; 1 to 64.
    pub uploads: usize,
}

impl Default for ParallelConfig {
    fn default() -> Self {
        Self {
            ingest: 4,
            lowest: 2,
            rest: 1,
            package: 4,
            art: 1,
            uploads: 8,
        }
    }
}

/// What happens after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetryConfig {
    /// How often a job is begun before its event is a dead letter and the creator is told; default 5; 1 to 20.
    pub tries: u32,
    /// The wait after the first failure, doubling with each further one, milliseconds; default 500; 1 to 60 000.
    pub base_ms: u64,
    /// The longest wait, milliseconds; default 30 000; `base_ms` to 600 000.
    pub max_ms: u64,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            tries: 5,
            base_ms: 500,
            max_ms: 30_000,
        }
    }
}

/// A worker whose runtime is starved by encoders must not be taken for dead at once; one that is gone is replaced
/// well within the 30 s of work that may be lost.
const SESSION_TIMEOUT_MS: u64 = 10_000;
const HEARTBEAT_MS: u64 = 2_000;

impl PipelineConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// [`PipelineConfigError`] names the key, its value and what can be used.
    pub fn validate(&self) -> Result<(), PipelineConfigError> {
        let parallel = &self.parallel;
        for (key, value) in [
            ("parallel.ingest", parallel.ingest),
            ("parallel.lowest", parallel.lowest),
            ("parallel.rest", parallel.rest),
            ("parallel.package", parallel.package),
            ("parallel.art", parallel.art),
            ("parallel.uploads", parallel.uploads),
        ] {
            check((1..=64).contains(&value), key, value, "1 to 64")?;
        }
        let RetryConfig {
            tries,
            base_ms,
            max_ms,
        } = self.retry;
        check((1..=20).contains(&tries), "retry.tries", tries, "1 to 20")?;
        let base_is_good = (1..=60_000).contains(&base_ms);
        check(base_is_good, "retry.base_ms", base_ms, "1 to 60000")?;
        let max_is_good = (base_ms..=600_000).contains(&max_ms);
        let expected = "retry.base_ms to 600000";
        check(max_is_good, "retry.max_ms", max_ms, expected)
    }

    pub(crate) fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy {
            tries: self.retry.tries,
            base_ms: self.retry.base_ms,
            max_ms: self.retry.max_ms,
        }
    }

    pub(crate) fn consumer_options(parallel_max: usize, drain_ms: u64) -> ConsumerOptions {
        ConsumerOptions {
            parallel_max,
            session_timeout_ms: SESSION_TIMEOUT_MS,
            heartbeat_ms: HEARTBEAT_MS,
            drain_ms,
            ..ConsumerOptions::default()
        }
    }
}

fn check(
    is_good: bool,
    key: &'static str,
    value: impl ToString,
    expected: &'static str,
) -> Result<(), PipelineConfigError> {
    if is_good {
        return Ok(());
    }
    Err(PipelineConfigError {
        key,
        value: value.to_string(),
        expected,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_their_ranges_and_others_are_named() {
        let mut config = PipelineConfig::default();
        assert_eq!(config.validate(), Ok(()));
        config.retry.max_ms = 1;
        let error = config.validate().unwrap_err();
        assert_eq!(
            error.to_string(),
            "retry.max_ms = 1: expected retry.base_ms to 600000"
        );
        config = PipelineConfig::default();
        config.parallel.art = 0;
        assert_eq!(config.validate().unwrap_err().key, "parallel.art");
    }
}
