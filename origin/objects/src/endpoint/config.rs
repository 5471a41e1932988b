//! Limits of the endpoint.

use mcsp_rpc::ServerLimits;
use serde::{Deserialize, Serialize};

/// Limits of the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EndpointConfig {
    /// Largest part, bytes. Default 64 MiB, range 5 MiB to 5 GiB.
    pub part_bytes_max: u64,
    /// Largest object in one PUT, bytes. Default 1 GiB, range 5 MiB to 5 GiB.
    pub put_bytes_max: u64,
    /// Connections served at once; more wait in the listener's queue. Default 1024, range 1 to 65 536.
    pub connections_max: u32,
    /// A TLS handshake takes at most this. Default 10 000, range 100 to 60 000.
    pub handshake_timeout_ms: u64,
    /// A request's header takes at most this. Default 15 000, range 100 to 60 000.
    pub header_timeout_ms: u64,
    /// A request's body is given up when it stands still for this long. Default 30 000, range 100 to 600 000.
    pub body_idle_timeout_ms: u64,
    /// After the stop signal, running requests have this long. Default 10 000, range 0 to 600 000.
    pub drain_timeout_ms: u64,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            part_bytes_max: 64 << 20,
            put_bytes_max: 1 << 30,
            connections_max: 1024,
            handshake_timeout_ms: 10_000,
            header_timeout_ms: 15_000,
            body_idle_timeout_ms: 30_000,
            drain_timeout_ms: 10_000,
        }
    }
}

impl EndpointConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// A line that names the key, the value and what was expected.
    pub fn validate(&self) -> Result<(), String> {
        let ranges = [
            ("part_bytes_max", self.part_bytes_max, 5 << 20, 5 << 30),
            ("put_bytes_max", self.put_bytes_max, 5 << 20, 5 << 30),
            (
                "connections_max",
                u64::from(self.connections_max),
                1,
                65_536,
            ),
            (
                "handshake_timeout_ms",
                self.handshake_timeout_ms,
                100,
                60_000,
            ),
            ("header_timeout_ms", self.header_timeout_ms, 100, 60_000),
            (
                "body_idle_timeout_ms",
                self.body_idle_timeout_ms,
                100,
                600_000,
            ),
            ("drain_timeout_ms", self.drain_timeout_ms, 0, 600_000),
        ];
        for (key, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                return Err(format!("{key} = {value}: expected {min} to {max}"));
            }
        }
        Ok(())
    }

    pub(super) fn listener(&self) -> ServerLimits {
        ServerLimits {
            connections_max: self.connections_max,
            handshake_timeout_ms: self.handshake_timeout_ms,
            header_timeout_ms: self.header_timeout_ms,
            drain_timeout_ms: self.drain_timeout_ms,
            ..ServerLimits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_out_of_range_is_named() {
        assert_eq!(EndpointConfig::default().validate(), Ok(()));
        let config = EndpointConfig {
            part_bytes_max: 1,
            ..EndpointConfig::default()
        };
        let error = config.validate().expect_err("too small");
        assert_eq!(error, "part_bytes_max = 1: expected 5242880 to 5368709120");
    }
}
