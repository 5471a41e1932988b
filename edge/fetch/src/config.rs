//! What an operator may set.

use std::fmt::Display;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A value that cannot be used.
#[derive(Debug, Error)]
#[error("{key} = {value}: expected {expected}")]
pub struct FetchConfigError {
    key: &'static str,
    value: String,
    expected: String,
}

/// How upstreams are asked for what the cache does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FetchConfig {
    /// TCP, and TLS on top of it, ms each. Default 2000; 10 to 60000.
    pub connect_timeout_ms: u64,
    /// From the request to the last byte of the answer's head, for each address that is tried, ms. Default 30000; 100
    /// to 600000.
    pub head_timeout_ms: u64,
    /// Between two reads of a body, ms. Default 30000; 100 to 600000.
    pub idle_timeout_ms: u64,
    /// For the whole of it, all tries and the body, ms: an upstream that drips a byte now and then holds its place for no
    /// longer. 0 for as long as bytes come. Default 3600000; 0 to 86400000.
    pub total_timeout_ms: u64,
    /// How long an idle connection is kept, ms. Default 60000; 100 to 3600000.
    pub keep_ms: u64,
    /// Idle connections kept, of all upstreams together. Default 512; 1 to 100000.
    pub idle_connections_max: usize,
    /// How many addresses one request may try. Default 3; 1 to 10.
    pub tries_max: usize,
    /// How long a request may wait for its turn at an upstream that is asked as much as it may be, ms. Default 5000; 1
    /// to 60000.
    pub turn_timeout_ms: u64,
    /// The largest head of an answer, bytes. Default 65536; 1024 to 1048576.
    pub head_bytes_max: usize,
    /// The most fields of a head. Default 128; 16 to 256.
    pub head_fields_max: usize,
    /// The most interim answers (1xx) before the final one. Default 16; 1 to 1000.
    pub interim_max: usize,
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 2_000,
            head_timeout_ms: 30_000,
            idle_timeout_ms: 30_000,
            total_timeout_ms: 3_600_000,
            keep_ms: 60_000,
            idle_connections_max: 512,
            tries_max: 3,
            turn_timeout_ms: 5_000,
            head_bytes_max: 64 << 10,
            head_fields_max: 128,
            interim_max: 16,
        }
    }
}

pub(crate) fn between<T: PartialOrd + Display>(
    key: &'static str,
    value: T,
    low: T,
    high: T,
) -> Result<(), FetchConfigError> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(FetchConfigError {
        key,
        value: value.to_string(),
        expected: format!("{low} to {high}"),
    })
}

impl FetchConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// Names the first key whose value cannot be used, the value, and what was expected.
    pub fn validate(&self) -> Result<(), FetchConfigError> {
        between(
            "fetch.connect_timeout_ms",
            self.connect_timeout_ms,
            10,
            60_000,
        )?;
        between("fetch.head_timeout_ms", self.head_timeout_ms, 100, 600_000)?;
        between("fetch.idle_timeout_ms", self.idle_timeout_ms, 100, 600_000)?;
        between(
            "fetch.total_timeout_ms",
            self.total_timeout_ms,
            0,
            86_400_000,
        )?;
        between("fetch.keep_ms", self.keep_ms, 100, 3_600_000)?;
        between(
            "fetch.idle_connections_max",
            self.idle_connections_max,
            1,
            100_000,
        )?;
        between("fetch.tries_max", self.tries_max, 1, 10)?;
        between("fetch.turn_timeout_ms", self.turn_timeout_ms, 1, 60_000)?;
        between(
            "fetch.head_bytes_max",
            self.head_bytes_max,
            1 << 10,
            1 << 20,
        )?;
        between("fetch.head_fields_max", self.head_fields_max, 16, 256)?;
        between("fetch.interim_max", self.interim_max, 1, 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_range_is_named() {
        FetchConfig::default().validate().unwrap();
        let config = FetchConfig {
            tries_max: 11,
            ..FetchConfig::default()
        };
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "fetch.tries_max = 11: expected 1 to 10"
        );
    }
}
