//! What an operator may set.

mod rates;

use std::fmt::Display;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use rates::Rates;

use crate::rate::Rate;

/// A value that cannot be used.
#[derive(Debug, Error)]
#[error("limits.{key} = {value}: expected {expected}")]
pub struct LimitsConfigError {
    key: String,
    value: String,
    expected: String,
}

impl LimitsConfigError {
    pub(crate) fn new(
        key: impl Into<String>,
        value: impl Display,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            key: key.into(),
            value: value.to_string(),
            expected: expected.into(),
        }
    }
}

/// How much clients may ask for. Every limit is of one node until the nodes of its PoP know each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Whether rates are limited. What is served at once is bounded all the same. Default true.
    pub enabled: bool,
    /// Networks whose addresses are not limited, such as a load test's or a monitor's; users, tokens and the PoP as a whole
    /// are. At most 64. Default none.
    pub exempt: Vec<IpNet>,
    /// IPv6 addresses with as many leading bits in common are one client. Default 64; 32 to 64.
    pub ipv6_prefix: u8,
    /// IPv6 networks of this length have a limit of their own, against clients that own many of the above. Default 48; 16 to
    /// `ipv6_prefix`.
    pub ipv6_aggregate_prefix: u8,
    /// Which is that of one address this many times. Default 16; 1 to 65536.
    pub ipv6_aggregate_factor: u32,
    /// Addresses of which something is kept, 32 bytes each, all taken at the start. Default 131072; 1024 to 16777216.
    pub address_keys_max: usize,
    /// Users and tokens of which something is kept, likewise. Default 131072; 1024 to 16777216.
    pub holder_keys_max: usize,
    /// Accounts to which somebody wants to sign in, likewise. Default 32768; 1024 to 16777216.
    pub account_keys_max: usize,
    /// The rates.
    pub rate: Rates,
    /// What is served at once.
    pub concurrency: ConcurrencyConfig,
    /// What is refused when there is too much to do.
    pub shed: ShedConfig,
    /// HTTP/2 frames.
    pub frames: FramesConfig,
    /// What nodes of a PoP tell each other.
    pub exchange: ExchangeConfig,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            exempt: Vec::new(),
            ipv6_prefix: 64,
            ipv6_aggregate_prefix: 48,
            ipv6_aggregate_factor: 16,
            address_keys_max: 131_072,
            holder_keys_max: 131_072,
            account_keys_max: 32_768,
            rate: Rates::default(),
            concurrency: ConcurrencyConfig::default(),
            shed: ShedConfig::default(),
            frames: FramesConfig::default(),
            exchange: ExchangeConfig::default(),
        }
    }
}

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

/// What nodes of a PoP tell each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExchangeConfig {
    /// Where this node listens for the others, `address:port`. Default none: it goes by what it sees itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<std::net::SocketAddr>,
    /// Where the other nodes of the PoP listen, `host:port`, at most 63. Default none.
    pub peers: Vec<String>,
    /// How often it is told what was admitted, ms. Default 150; 20 to 5000.
    pub interval_ms: u64,
    /// A node that was silent for this long is gone, ms. Default 5000; 100 to 600000.
    pub stale_ms: u64,
}

impl Default for ExchangeConfig {
    fn default() -> Self {
        Self {
            listen: None,
            peers: Vec::new(),
            interval_ms: 150,
            stale_ms: 5_000,
        }
    }
}

pub(crate) fn between<T: PartialOrd + Display>(
    key: &str,
    value: T,
    low: T,
    high: T,
) -> Result<(), LimitsConfigError> {
    if value >= low && value <= high {
        return Ok(());
    }
    let expected = format!("{low} to {high}");
    Err(LimitsConfigError::new(key, value, expected))
}

/// Networks that may be exempt.
const EXEMPT_MAX: usize = 64;
const KEYS_MIN: usize = 1_024;
const KEYS_MAX: usize = 1 << 24;

impl LimitsConfig {
    /// Keys of which the two differ and that count from the start of a node only.
    pub(crate) fn fixed_that_differ(&self, other: &Self) -> Vec<&'static str> {
        let (frames, others) = (&self.frames, &other.frames);
        let differ = [
            (
                "address_keys_max",
                self.address_keys_max != other.address_keys_max,
            ),
            (
                "holder_keys_max",
                self.holder_keys_max != other.holder_keys_max,
            ),
            (
                "account_keys_max",
                self.account_keys_max != other.account_keys_max,
            ),
            (
                "shed.running_ms",
                self.shed.running_ms != other.shed.running_ms,
            ),
            (
                "shed.running_max",
                self.shed.running_max != other.shed.running_max,
            ),
            (
                "frames.header_list_bytes_max",
                frames.header_list_bytes_max != others.header_list_bytes_max,
            ),
            (
                "frames.pending_resets_max",
                frames.pending_resets_max != others.pending_resets_max,
            ),
            (
                "frames.error_resets_max",
                frames.error_resets_max != others.error_resets_max,
            ),
            ("exchange", self.exchange != other.exchange),
        ];
        let differ = differ.into_iter().filter(|(_, differs)| *differs);
        differ.map(|(key, _)| key).collect()
    }

    /// Checks every range.
    ///
    /// # Errors
    /// Names the first key whose value cannot be used, the value, and what was expected.
    pub fn validate(&self) -> Result<(), LimitsConfigError> {
        between("exempt (entries)", self.exempt.len(), 0, EXEMPT_MAX)?;
        between("ipv6_prefix", self.ipv6_prefix, 32, 64)?;
        let aggregate = self.ipv6_aggregate_prefix;
        between("ipv6_aggregate_prefix", aggregate, 16, self.ipv6_prefix)?;
        let factor = self.ipv6_aggregate_factor;
        between("ipv6_aggregate_factor", factor, 1, 65_536)?;
        for (key, value) in [
            ("address_keys_max", self.address_keys_max),
            ("holder_keys_max", self.holder_keys_max),
            ("account_keys_max", self.account_keys_max),
            ("shed.running_max", self.shed.running_max),
        ] {
            between(key, value, KEYS_MIN, KEYS_MAX)?;
        }
        self.rate.validate()?;
        self.concurrency.validate()?;
        self.shed.validate()?;
        self.frames.validate()?;
        self.exchange.validate()
    }
}

impl ConcurrencyConfig {
    fn validate(&self) -> Result<(), LimitsConfigError> {
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

impl ShedConfig {
    fn validate(&self) -> Result<(), LimitsConfigError> {
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

impl FramesConfig {
    fn validate(&self) -> Result<(), LimitsConfigError> {
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

impl ExchangeConfig {
    fn validate(&self) -> Result<(), LimitsConfigError> {
        between("exchange.interval_ms", self.interval_ms, 20, 5_000)?;
        between("exchange.stale_ms", self.stale_ms, 100, 600_000)?;
        between("exchange.peers (entries)", self.peers.len(), 0, 63)?;
        let is_address = |peer: &str| {
            let port = peer.rsplit_once(':');
            port.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        match self.peers.iter().find(|peer| !is_address(peer)) {
            Some(peer) => Err(LimitsConfigError::new(
                "exchange.peers",
                format!("{peer:?}"),
                "host:port",
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::{Class, Scope};

    fn parsed(text: &str) -> Result<LimitsConfig, String> {
        let config: LimitsConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        config.validate().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn what_is_not_said_is_as_it_was() {
        assert_eq!(parsed("").unwrap(), LimitsConfig::default());
        let config = parsed("[rate.segment]\ntoken = \"5/s burst 5\"").unwrap();
        assert_eq!(
            config.rate.of(Class::Segment, Scope::Token),
            Rate::per_second(5, 5)
        );
        let others = [(Class::Segment, Scope::Address), (Class::Login, Scope::Pop)];
        for (class, scope) in others {
            let default = Rates::default().of(class, scope);
            assert_eq!(config.rate.of(class, scope), default);
            assert!(!default.is_off());
        }
        let whole = toml::to_string(&LimitsConfig::default()).unwrap();
        assert_eq!(parsed(&whole).unwrap(), LimitsConfig::default());
    }

    #[test]
    fn values_that_cannot_be_used_are_named() {
        for (text, wanted) in [
            (
                "ipv6_prefix = 65",
                "limits.ipv6_prefix = 65: expected 32 to 64",
            ),
            (
                "ipv6_aggregate_prefix = 65",
                "limits.ipv6_aggregate_prefix = 65: expected 16 to 64",
            ),
            (
                "ipv6_aggregate_factor = 0",
                "limits.ipv6_aggregate_factor = 0: expected 1 to 65536",
            ),
            (
                "address_keys_max = 5",
                "limits.address_keys_max = 5: expected 1024 to 16777216",
            ),
            ("exempt = [\"10.0.0.0/33\"]", "exempt"),
            (
                "[concurrency]\nrequests_max = 1",
                "limits.concurrency.requests_max = 1: expected 16 to 10000000",
            ),
            (
                "[shed]\ncpu_share = 1.5",
                "limits.shed.cpu_share = 1.5: expected 0.1 to 1",
            ),
            (
                "[shed]\nlag_ms = 0",
                "limits.shed.lag_ms = 0: expected 1 to 10000",
            ),
            ("[frames]\nresets = \"many\"", "such as \"100/s burst 400\""),
            (
                "[frames]\nerror_resets_max = 0",
                "limits.frames.error_resets_max = 0",
            ),
            (
                "[exchange]\ninterval_ms = 1",
                "limits.exchange.interval_ms = 1: expected 20 to 5000",
            ),
            (
                "[exchange]\npeers = [\"host\"]",
                "limits.exchange.peers = \"host\": expected host:port",
            ),
            (
                "[rate.segment]\naccount = \"1/s burst 1\"",
                "limits.rate.segment.account = 1/s burst 1: expected one of: address, token, pop",
            ),
            ("[rate.segment]\naddress = \"1/s\"", "such as"),
            ("[rate.segments]\naddress = \"off\"", "segments"),
            ("colour = 1", "colour"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
