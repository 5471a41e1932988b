//! How long a call may take, and when a callee is left alone.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::RpcError;

/// The longest deadline a call may have, whoever sets it.
pub(crate) const TIMEOUT_MAX: Duration = Duration::from_secs(120);
/// The longest silence in a response that has begun; streams send heartbeats more often than this.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(30);
/// The most calls under way on one channel.
pub(crate) const CALLS_MAX: usize = 1024;

/// The bounds of a channel's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RpcPolicy {
    /// From a call's begin to its answer's head, milliseconds, 1 to 120 000, default 5 000. A call that brings its own
    /// `grpc-timeout` keeps that, up to 120 000.
    pub timeout_ms: u64,
    /// After so many failures in a row the circuit opens, 1 to 1 000, default 5.
    pub breaker_failures: u32,
    /// How long it stays open before one call may try, milliseconds, 1 to 600 000, default 5 000.
    pub breaker_open_ms: u64,
}

impl Default for RpcPolicy {
    fn default() -> Self {
        Self {
            timeout_ms: 5_000,
            breaker_failures: 5,
            breaker_open_ms: 5_000,
        }
    }
}

impl RpcPolicy {
    /// Checks every range.
    ///
    /// # Errors
    /// [`RpcError::Config`] with the first key whose value is out of its range.
    pub fn validate(&self) -> Result<(), RpcError> {
        let check = |key, value: u64, max: u64, expected| {
            if (1..=max).contains(&value) {
                return Ok(());
            }
            Err(RpcError::Config {
                key,
                value: value.to_string(),
                expected,
            })
        };
        check("timeout_ms", self.timeout_ms, 120_000, "1 to 120000")?;
        check(
            "breaker_failures",
            u64::from(self.breaker_failures),
            1_000,
            "1 to 1000",
        )?;
        check(
            "breaker_open_ms",
            self.breaker_open_ms,
            600_000,
            "1 to 600000",
        )
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms).min(TIMEOUT_MAX)
    }
}
