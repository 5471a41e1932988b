//! What an operator may set.

use serde::{Deserialize, Serialize};

use crate::limits::LimitError;

/// What becomes of a request that finds no place, or waits for too long, through no fault of its client's, or is lost with its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overload {
    /// It passes without the rules that it waited for, is counted and told: as for every failure of inspection. Some clients at once
    /// can bring this about for one more.
    Pass,
    /// It is refused with 503.
    Refuse,
}

/// Which work goes beside the workers, and how much of it there may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BesideConfig {
    /// Threads; with none, workers do it all. Default 2; 0 to 64.
    pub threads: usize,
    /// A request whose body has as many bytes for the rules goes there. Default 2048; 1 to 16777216.
    pub request_bytes_min: usize,
    /// And one whose head has, with its body, if any. Default 8192; 1 to 16777216.
    pub head_bytes_min: usize,
    /// An answer whose body has. Default 16384; 1 to 16777216.
    pub response_bytes_min: usize,
    /// Most that waits or is under way. Default 64; 1 to 10000.
    pub places_max: usize,
    /// Of it, of one client: an IPv4 address or an IPv6 network of 64 bits. More is refused with 429. All clients of one IPv6 network of
    /// 48 bits have four times as many together, and what is beyond one client's gives way to others. Where all clients have one
    /// address, such as that of a load balancer that does not tell theirs, as many as `places_max`. Default 8; 1 to 10000.
    pub client_places_max: usize,
    /// Longest wait for a turn, milliseconds. Default 1000; 1 to 60000.
    pub wait_ms_max: u64,
    /// What becomes of who cannot have a turn, though its client has had no more than others: `pass` or `refuse`. Default `pass`.
    pub overload: Overload,
}

impl Default for BesideConfig {
    fn default() -> Self {
        Self {
            threads: 2,
            request_bytes_min: 2 << 10,
            head_bytes_min: 8 << 10,
            response_bytes_min: 16 << 10,
            places_max: 64,
            client_places_max: 8,
            wait_ms_max: 1_000,
            overload: Overload::Pass,
        }
    }
}

impl BesideConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// The first key outside its range.
    pub fn validate(&self) -> Result<(), LimitError> {
        let bytes = |key, value: usize| (key, value as u64, 1, 16 << 20);
        let places = |key, value: usize| (key, value as u64, 1, 10_000);
        let table = [
            ("beside.threads", self.threads as u64, 0, 64),
            bytes("beside.request_bytes_min", self.request_bytes_min),
            bytes("beside.head_bytes_min", self.head_bytes_min),
            bytes("beside.response_bytes_min", self.response_bytes_min),
            places("beside.places_max", self.places_max),
            places("beside.client_places_max", self.client_places_max),
            ("beside.wait_ms_max", self.wait_ms_max, 1, 60_000),
        ];
        LimitError::first_outside(&table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_kept() {
        assert_eq!(BesideConfig::default().validate(), Ok(()));
        let error = BesideConfig {
            places_max: 0,
            ..BesideConfig::default()
        };
        let error = error.validate().unwrap_err();
        assert_eq!(
            error.to_string(),
            "beside.places_max = 0: expected 1 to 10000"
        );
    }
}
