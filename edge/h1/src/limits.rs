//! What an operator may set.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Bounds on what one HTTP/1.1 connection may take and how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// A request's head, from the request line to the empty line, bytes; more is answered 431 (RFC 6585 5), or 414 where
    /// the request line alone is longer. Default 32768; 1024 to 1048576.
    pub head_bytes_max: u32,
    /// The request target, bytes; more is answered 414. RFC 9112 3 wants 8000 at least. Default 16384; 8000 to 65000.
    pub target_bytes_max: u32,
    /// Field lines in a head; more are answered 431. Default 128; 16 to 1024.
    pub fields_max: u32,
    /// From the first byte of a head, or from the start of a connection, to the head's end, ms; later is answered 408.
    /// Default 10000; 100 to 120000.
    pub head_timeout_ms: u64,
    /// Between an answer's end and the first byte of the next request, ms. Default 60000; 100 to 3600000.
    pub idle_timeout_ms: u64,
    /// How long a client may keep the server waiting in a row, or in all within one window, before what it took
    /// meanwhile is weighed against `drain_bytes_s_min`, ms. Default 60000; 100 to 600000.
    pub write_timeout_ms: u64,
    /// Slowest rate at which a client may take an answer, bytes a second of waiting for it. Default 1024; 1 to 1048576.
    pub drain_bytes_s_min: u32,
    /// Wait for the next bytes of a request body that a handler reads, ms. Default 10000; 100 to 120000.
    pub body_timeout_ms: u64,
    /// Of a request body that nobody read, the bytes that are read and thrown away so that the connection can go on;
    /// with more, it is closed. Default 65536; 0 to 16777216.
    pub discard_bytes_max: u32,
    /// How long throwing away such a body may take, ms. Default 2000; 100 to 60000.
    pub discard_timeout_ms: u64,
    /// How long a connection that the server ends is still read, so that a reset does not destroy the last answer on its
    /// way (RFC 9112 9.6), ms. Default 1000; 0 to 30000.
    pub linger_ms: u64,
    /// How long a client that has ended its sending side, and may be gone, is still taken for one that waits for its
    /// answer, or for more of it, ms. RFC 9112 9.6 lets it do so, but most that do have gone, whatever they asked for
    /// before. Default 1000; 0 to 60000.
    pub half_closed_wait_ms: u64,
    /// Requests on one connection. Default 10000; 1 to 1000000.
    pub requests_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: 32 << 10,
            target_bytes_max: 16 << 10,
            fields_max: 128,
            head_timeout_ms: 10_000,
            idle_timeout_ms: 60_000,
            write_timeout_ms: 60_000,
            drain_bytes_s_min: 1024,
            body_timeout_ms: 10_000,
            discard_bytes_max: 64 << 10,
            discard_timeout_ms: 2_000,
            linger_ms: 1_000,
            half_closed_wait_ms: 1_000,
            requests_max: 10_000,
        }
    }
}

/// A value that cannot be used.
#[derive(Debug, Error)]
#[error("{key} = {value}: expected {low} to {high}")]
pub struct LimitsError {
    key: &'static str,
    value: u64,
    low: u64,
    high: u64,
}

impl Limits {
    /// Checks every range.
    ///
    /// # Errors
    /// Names the first key whose value is out of range, the value, and the range.
    pub fn validate(&self) -> Result<(), LimitsError> {
        let between = |key, value, low, high| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(LimitsError {
                key,
                value,
                low,
                high,
            })
        };
        between("head_bytes_max", self.head_bytes_max.into(), 1024, 1 << 20)?;
        between(
            "target_bytes_max",
            self.target_bytes_max.into(),
            8000,
            65_000,
        )?;
        between("fields_max", self.fields_max.into(), 16, 1024)?;
        between("head_timeout_ms", self.head_timeout_ms, 100, 120_000)?;
        between("idle_timeout_ms", self.idle_timeout_ms, 100, 3_600_000)?;
        between("write_timeout_ms", self.write_timeout_ms, 100, 600_000)?;
        between(
            "drain_bytes_s_min",
            self.drain_bytes_s_min.into(),
            1,
            1 << 20,
        )?;
        between("body_timeout_ms", self.body_timeout_ms, 100, 120_000)?;
        between(
            "discard_bytes_max",
            self.discard_bytes_max.into(),
            0,
            16 << 20,
        )?;
        between("discard_timeout_ms", self.discard_timeout_ms, 100, 60_000)?;
        between("linger_ms", self.linger_ms, 0, 30_000)?;
        between("half_closed_wait_ms", self.half_closed_wait_ms, 0, 60_000)?;
        between("requests_max", self.requests_max.into(), 1, 1_000_000)
    }

    pub(crate) fn head_timeout(&self) -> Duration {
        Duration::from_millis(self.head_timeout_ms)
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    pub(crate) fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    pub(crate) fn discard_timeout(&self) -> Duration {
        Duration::from_millis(self.discard_timeout_ms)
    }

    pub(crate) fn half_closed_wait(&self) -> Duration {
        Duration::from_millis(self.half_closed_wait_ms)
    }

    pub(crate) fn linger(&self) -> Duration {
        Duration::from_millis(self.linger_ms)
    }
}
