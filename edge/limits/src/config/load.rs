//! What is served at once, and what is refused when that is too much.

use serde::{Deserialize, Serialize};

use super::{LimitsConfigError, between};

/// What is served at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConcurrencyConfig {
    /// Connections of one client address; in Africa's mobile networks thousands of viewers share one. Default 4096; 1 to
    /// 1000000.
    pub connections_address_max: u32,
    /// Requests under way, all together; a tenth of them is for streams only. Default 20000; 16 to 10000000.
    pub requests_max: u32,
    /// Of one client address. Default 4096; 1 to 10000000.
    pub requests_address_max: u32,
    /// Calls of the API, all together. Default 4000; 1 to 10000000.
    pub api_requests_max: u32,
    /// Parts of uploads, all together. Default 512; 1 to 10000000.
    pub upload_requests_max: u32,
}

impl Default for ConcurrencyConfig {
    fn default() -> Self {
        Self {
            connections_address_max: 4_096,
            requests_max: 20_000,
            requests_address_max: 4_096,
            api_requests_max: 4_000,
            upload_requests_max: 512,
        }
    }
}

impl ConcurrencyConfig {
    /// Checks every range.
    pub(super) fn validate(&self) -> Result<(), LimitsConfigError> {
        for (key, value, low, high) in [
            (
                "connections_address_max",
                self.connections_address_max,
                1,
                1_000_000,
            ),
            ("requests_max", self.requests_max, 16, 10_000_000),
            (
                "requests_address_max",
                self.requests_address_max,
                1,
                10_000_000,
            ),
            ("api_requests_max", self.api_requests_max, 1, 10_000_000),
            (
                "upload_requests_max",
                self.upload_requests_max,
                1,
                10_000_000,
            ),
        ] {
            between(&format!("concurrency.{key}"), value, low, high)?;
        }
        Ok(())
    }
}

/// When the node has too much to do, and what it then refuses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShedConfig {
    /// Whether anything is refused for it. Default true.
    pub enabled: bool,
    /// Too much: of `requests_max`, the share under way. Default 0.9; 0.1 to 1.
    pub in_flight_share: f64,
    /// Too much: a task that is ready waits this long for a thread, ms. Default 50; 1 to 10000.
    pub lag_ms: u32,
    /// Too much: of the memory that the process may use, the share it does. Default 0.9; 0.1 to 1.
    pub memory_share: f64,
    /// Too much: of the processor time there is, the share used; takes no more than what begins anew, since a busy
    /// processor delays nobody by itself. Default 0.97; 0.1 to 1.
    pub cpu_share: f64,
    /// How long it must last before more is refused, ms. Default 500; 10 to 60000.
    pub step_ms: u32,
    /// How long it must be over, with a tenth to spare, before less is refused, ms. Default 5000; 10 to 600000.
    pub calm_ms: u32,
    /// A playback session that had a segment within this time is running, ms. Default 30000; 1000 to 600000.
    pub running_ms: u32,
    /// Running sessions that are known, 32 bytes each. Default 65536; 1024 to 16777216.
    pub running_max: usize,
}

impl Default for ShedConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            in_flight_share: 0.9,
            lag_ms: 50,
            memory_share: 0.9,
            cpu_share: 0.97,
            step_ms: 500,
            calm_ms: 5_000,
            running_ms: 30_000,
            running_max: 65_536,
        }
    }
}

impl ShedConfig {
    /// Checks every range.
    pub(super) fn validate(&self) -> Result<(), LimitsConfigError> {
        for (key, value) in [
            ("in_flight_share", self.in_flight_share),
            ("memory_share", self.memory_share),
            ("cpu_share", self.cpu_share),
        ] {
            between(&format!("shed.{key}"), value, 0.1, 1.0)?;
        }
        between("shed.lag_ms", self.lag_ms, 1, 10_000)?;
        between("shed.step_ms", self.step_ms, 10, 60_000)?;
        between("shed.calm_ms", self.calm_ms, 10, 600_000)?;
        between("shed.running_ms", self.running_ms, 1_000, 600_000)
    }
}
