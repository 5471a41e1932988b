//! What an operator may set.

use std::fmt::Display;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A value that cannot be used.
#[derive(Debug, Error)]
#[error("{key} = {value}: expected {expected}")]
pub struct PrefetchConfigError {
    key: &'static str,
    value: String,
    expected: String,
}

/// How much is fetched ahead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PrefetchConfig {
    /// Whether anything is. Default true.
    pub enabled: bool,
    /// How many segments after one that was asked for, where the player does not say what comes next. Default 2; 0 to 8.
    pub ahead_max: usize,
    /// How many objects may wait; with one more, the one that waits longest is given up. Default 256; 1 to 65536.
    pub waiting_max: usize,
    /// How many are fetched at once. Default 4; 1 to 256.
    pub running_max: usize,
    /// While as many fetches for viewers are under way on the node, none is made ahead. Default 64; 1 to 100000.
    pub viewer_fetches_max: usize,
    /// An object that has waited for longer is given up: its player has asked for it by now, ms. Default 4000; 10 to
    /// 60000.
    pub wait_ms_max: u64,
    /// How long one may take, ms. Default 10000; 100 to 600000.
    pub run_timeout_ms: u64,
    /// While viewers need the room, how often it is looked whether they still do, ms. Default 20; 1 to 1000.
    pub recheck_ms: u64,
}

impl Default for PrefetchConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            ahead_max: 2,
            waiting_max: 256,
            running_max: 4,
            viewer_fetches_max: 64,
            wait_ms_max: 4_000,
            run_timeout_ms: 10_000,
            recheck_ms: 20,
        }
    }
}

fn between<T: PartialOrd + Display>(
    key: &'static str,
    value: T,
    low: T,
    high: T,
) -> Result<(), PrefetchConfigError> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(PrefetchConfigError {
        key,
        value: value.to_string(),
        expected: format!("{low} to {high}"),
    })
}

impl PrefetchConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// Names the first key whose value cannot be used, the value, and what was expected.
    pub fn validate(&self) -> Result<(), PrefetchConfigError> {
        between("prefetch.ahead_max", self.ahead_max, 0, 8)?;
        between("prefetch.waiting_max", self.waiting_max, 1, 65_536)?;
        between("prefetch.running_max", self.running_max, 1, 256)?;
        between(
            "prefetch.viewer_fetches_max",
            self.viewer_fetches_max,
            1,
            100_000,
        )?;
        between("prefetch.wait_ms_max", self.wait_ms_max, 10, 60_000)?;
        between("prefetch.run_timeout_ms", self.run_timeout_ms, 100, 600_000)?;
        between("prefetch.recheck_ms", self.recheck_ms, 1, 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_range_is_named() {
        PrefetchConfig::default().validate().unwrap();
        let config = PrefetchConfig {
            running_max: 0,
            ..PrefetchConfig::default()
        };
        assert_eq!(
            config.validate().unwrap_err().to_string(),
            "prefetch.running_max = 0: expected 1 to 256"
        );
    }
}
