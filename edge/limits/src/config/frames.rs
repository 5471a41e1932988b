//! What HTTP/2 frames of one connection may cost.

use serde::{Deserialize, Serialize};

use super::{LimitsConfigError, between};
use crate::rate::Rate;

/// HTTP/2 frames of one connection that cost their sender nothing. More end the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FramesConfig {
    /// Streams taken back, `RST_STREAM` (CVE-2023-44487). Default `"50/s burst 400"`.
    pub resets: Rate,
    /// `PING`. Default `"10/s burst 60"`.
    pub pings: Rate,
    /// `SETTINGS`. Default `"5/s burst 30"`.
    pub settings: Rate,
    /// `WINDOW_UPDATE`; a fast reader sends two for each frame of data. Default `"50000/s burst 100000"`.
    pub window_updates: Rate,
    /// `PRIORITY`, `DATA` without data that ends nothing, and frames of unknown types. Default `"100/s burst 1000"`.
    pub others: Rate,
    /// A request's fields, bytes as RFC 9113 section 6.5.2 counts them. Default 32768; 4096 to 1048576.
    pub header_list_bytes_max: u32,
    /// Streams that were taken back before they were looked at. Default 20; 1 to 1000.
    pub pending_resets_max: u32,
    /// Streams of one connection that had to be ended because their frames were wrong. Default 128; 1 to 10000.
    pub error_resets_max: u32,
    /// A connection that is ended for its frames counts as so many new connections of its address, which may share it with
    /// thousands of viewers: see `rate.connection`. Default 100; 0 to 10000.
    pub connections: u32,
}

impl Default for FramesConfig {
    fn default() -> Self {
        Self {
            resets: Rate::per_second(50, 400),
            pings: Rate::per_second(10, 60),
            settings: Rate::per_second(5, 30),
            window_updates: Rate::per_second(50_000, 100_000),
            others: Rate::per_second(100, 1_000),
            header_list_bytes_max: 32_768,
            pending_resets_max: 20,
            error_resets_max: 128,
            connections: 100,
        }
    }
}

impl FramesConfig {
    /// Checks every range.
    pub(super) fn validate(&self) -> Result<(), LimitsConfigError> {
        for (key, value, low, high) in [
            (
                "header_list_bytes_max",
                self.header_list_bytes_max,
                4_096,
                1 << 20,
            ),
            ("pending_resets_max", self.pending_resets_max, 1, 1_000),
            ("error_resets_max", self.error_resets_max, 1, 10_000),
            ("connections", self.connections, 0, 10_000),
        ] {
            between(&format!("frames.{key}"), value, low, high)?;
        }
        Ok(())
    }
}
