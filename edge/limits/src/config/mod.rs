//! What an operator may set.

mod exchange;
mod frames;
mod load;
mod rates;

use std::fmt::Display;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use exchange::ExchangeConfig;
pub use frames::FramesConfig;
pub use load::{ConcurrencyConfig, ShedConfig};
pub use rates::Rates;

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
    /// IPv6 networks of this length have limits of their own, of rates and of what is served at once, against clients that own many
    /// of the above. Default 48; 16 to `ipv6_prefix`.
    pub ipv6_aggregate_prefix: u8,
    /// Which are those of one address this many times. Default 16; 1 to 65536.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::{Class, Scope};
    use crate::rate::Rate;

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
