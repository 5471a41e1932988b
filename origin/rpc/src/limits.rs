//! What one server lets its peers use.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::RpcError;

/// The bounds of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerLimits {
    /// Open connections; further ones wait in the kernel's queue. 1 to 100 000, default 1 024.
    pub connections_max: u32,
    /// Requests under way on one HTTP/2 connection, 1 to 10 000, default 256.
    pub h2_streams_max: u32,
    /// For the TLS handshake, milliseconds, 100 to 60 000, default 5 000.
    pub handshake_timeout_ms: u64,
    /// For a request's head on HTTP/1, also the longest such a connection may be idle, milliseconds, 100 to 600 000,
    /// default 30 000.
    pub header_timeout_ms: u64,
    /// From a request's head to its answer's head, milliseconds, 100 to 600 000, default 120 000.
    pub answer_timeout_ms: u64,
    /// For requests under way when the server stops, milliseconds, 0 to 600 000, default 10 000.
    pub drain_timeout_ms: u64,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            h2_streams_max: 256,
            handshake_timeout_ms: 5_000,
            header_timeout_ms: 30_000,
            answer_timeout_ms: 120_000,
            drain_timeout_ms: 10_000,
        }
    }
}

impl ServerLimits {
    /// Checks every range.
    ///
    /// # Errors
    /// [`RpcError::Config`] with the first key whose value is out of its range.
    pub fn validate(&self) -> Result<(), RpcError> {
        let check = |key, value: u64, min: u64, max: u64, expected| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            Err(RpcError::Config {
                key,
                value: value.to_string(),
                expected,
            })
        };
        check(
            "connections_max",
            u64::from(self.connections_max),
            1,
            100_000,
            "1 to 100000",
        )?;
        check(
            "h2_streams_max",
            u64::from(self.h2_streams_max),
            1,
            10_000,
            "1 to 10000",
        )?;
        check(
            "handshake_timeout_ms",
            self.handshake_timeout_ms,
            100,
            60_000,
            "100 to 60000",
        )?;
        check(
            "header_timeout_ms",
            self.header_timeout_ms,
            100,
            600_000,
            "100 to 600000",
        )?;
        check(
            "answer_timeout_ms",
            self.answer_timeout_ms,
            100,
            600_000,
            "100 to 600000",
        )?;
        check(
            "drain_timeout_ms",
            self.drain_timeout_ms,
            0,
            600_000,
            "0 to 600000",
        )
    }

    pub(crate) fn handshake_timeout(&self) -> Duration {
        Duration::from_millis(self.handshake_timeout_ms)
    }

    pub(crate) fn header_timeout(&self) -> Duration {
        Duration::from_millis(self.header_timeout_ms)
    }

    pub(crate) fn answer_timeout(&self) -> Duration {
        Duration::from_millis(self.answer_timeout_ms)
    }

    pub(crate) fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }
}
