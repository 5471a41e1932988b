//! The node's configuration: the subsystems' own, put together.

mod own;

use std::path::{Path, PathBuf};
use std::time::Duration;

use mcsp_auth_edge::RenewalPolicy;
use mcsp_auth_edge::media::partner::PartnerConfig;
use mcsp_auth_edge::token::RefreshConfig;
use mcsp_edge_cache::engine::CacheConfig;
use mcsp_edge_fetch::FetchConfig;
use mcsp_edge_h1::Limits;
use mcsp_edge_limits::LimitsConfig;
use mcsp_edge_prefetch::PrefetchConfig;
use mcsp_edge_proxy::{ProxyConfig, RouteConfig, ShieldConfig};
use mcsp_edge_tls::TlsConfig;
use mcsp_edge_waf::WafConfig;
use mcsp_identity::IdentityConfig;
use mcsp_runtime::{ConfigError, load_config};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub(crate) use own::{
    AdminConfig, ConnectionsConfig, FeedConfig, IdentityCheckMs, ListenerConfig, ProxyProtocol,
};

/// Every key with its default and range, as `default-config` prints it.
pub(crate) const DEFAULT_TOML: &str = concat!(
    include_str!("default.toml"),
    "\n",
    include_str!("limits.toml"),
    "\n",
    include_str!("tokens.toml"),
    "\n",
    include_str!("waf.toml")
);
/// What begins the names of environment variables that override keys.
const ENV_PREFIX: &str = "MCSP_EDGE_";

/// A value that cannot be used.
#[derive(Debug, Error)]
#[error("{key} = {value}: expected {expected}")]
pub(crate) struct NodeConfigError {
    key: &'static str,
    value: String,
    expected: &'static str,
}

/// The whole configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeConfig {
    /// The PoP, as in the PoP configuration.
    #[serde(default = "default_pop")]
    pub(crate) pop: String,
    /// This node among the PoP's.
    #[serde(default = "default_node")]
    pub(crate) node: String,
    /// The folder with `regions.toml` and the PoPs.
    #[serde(default)]
    pub(crate) pops_dir: Option<PathBuf>,
    /// The node's own folder.
    pub(crate) state_dir: PathBuf,
    /// Country database; absent: every country is unknown.
    #[serde(default)]
    pub(crate) geo_database: Option<PathBuf>,
    /// Autonomous systems by address; absent: none is known.
    #[serde(default)]
    pub(crate) asn_database: Option<PathBuf>,
    /// Networks that hide who is behind them; absent: none is known.
    #[serde(default)]
    pub(crate) network_list: Option<PathBuf>,
    #[serde(default = "default_log_level")]
    pub(crate) log_level: String,
    /// 0: one for each core.
    #[serde(default)]
    pub(crate) worker_threads: usize,
    #[serde(default = "default_drain_ms")]
    pub(crate) drain_ms: u64,
    #[serde(default)]
    pub(crate) identity: Option<IdentityConfig>,
    #[serde(default)]
    pub(crate) identity_check_ms: IdentityCheckMs,
    #[serde(default)]
    pub(crate) admin: AdminConfig,
    pub(crate) listener: Vec<ListenerConfig>,
    #[serde(default)]
    pub(crate) connections: ConnectionsConfig,
    #[serde(default)]
    pub(crate) tls: Option<TlsConfig>,
    #[serde(default)]
    pub(crate) cache: CacheConfig,
    #[serde(default)]
    pub(crate) fetch: FetchConfig,
    #[serde(default)]
    pub(crate) prefetch: PrefetchConfig,
    #[serde(default)]
    pub(crate) h1: Limits,
    #[serde(default)]
    pub(crate) shield: ShieldConfig,
    #[serde(default)]
    pub(crate) feed: FeedConfig,
    /// How much viewers may ask for.
    #[serde(default)]
    pub(crate) limits: LimitsConfig,
    /// How long media URLs and their sessions live.
    #[serde(default)]
    pub(crate) media_renewal: RenewalPolicy,
    /// Who else may sign media URLs.
    #[serde(default)]
    pub(crate) media_partner: Vec<PartnerConfig>,
    /// How often issuers of access tokens are asked for their keys.
    #[serde(default)]
    pub(crate) token_keys: RefreshConfig,
    /// The firewall.
    #[serde(default)]
    pub(crate) waf: WafConfig,
    #[serde(default)]
    pub(crate) proxy: ProxyConfig,
    /// Plain origins.
    #[serde(default)]
    pub(crate) route: Vec<RouteConfig>,
}

fn default_pop() -> String {
    "edge".to_owned()
}

fn default_node() -> String {
    "1".to_owned()
}

fn default_log_level() -> String {
    "info".to_owned()
}

fn default_drain_ms() -> u64 {
    10_000
}

impl NodeConfig {
    /// Reads the file, lets the environment override it, refuses unknown keys.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        load_config(path, ENV_PREFIX)
    }

    /// For how long a region's token keys are believed after they were last heard of.
    pub(crate) fn token_keys_age_max(&self) -> Duration {
        Duration::from_millis(self.proxy.trust.tokens_until_ms)
    }

    /// What a node lacks that is to ask regions.
    pub(crate) fn missing_for_regions(&self) -> NodeConfigError {
        let (key, expected) = match self.pops_dir {
            None => (
                "pops_dir",
                "a folder, since there are [[proxy.upstream.region]]s",
            ),
            Some(_) => (
                "identity",
                "[identity], since there are [[proxy.upstream.region]]s",
            ),
        };
        NodeConfigError {
            key,
            value: "absent".to_owned(),
            expected,
        }
    }

    /// Checks what is the node's own; the subsystems check theirs.
    pub(crate) fn validate(&self) -> Result<(), NodeConfigError> {
        let fault = |key, value: String, expected| {
            Err(NodeConfigError {
                key,
                value,
                expected,
            })
        };
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        for (key, name) in [("pop", &self.pop), ("node", &self.node)] {
            if name.is_empty() || name.len() > 32 || !name.chars().all(is_name) {
                let expected = "1 to 32 characters of a-z, 0-9 and -";
                return fault(key, format!("{name:?}"), expected);
            }
        }
        if !(1..=64).contains(&self.listener.len()) {
            return fault(
                "listener",
                self.listener.len().to_string(),
                "1 to 64 entries",
            );
        }
        for listener in &self.listener {
            listener.validate()?;
        }
        if !self.admin.address.ip().is_loopback() {
            return fault(
                "admin.address",
                self.admin.address.to_string(),
                "a loopback address: it has no TLS and asks nobody's name",
            );
        }
        let exchange = &self.limits.exchange;
        let is_alone = exchange.listen.is_none() && exchange.peers.is_empty();
        if !is_alone && self.proxy.upstream.region.is_empty() {
            return fault(
                "limits.exchange",
                "listen or peers".to_owned(),
                "neither, since there is no [[proxy.upstream.region]] and so no PoP",
            );
        }
        if self.tls.is_none() && self.listener.iter().any(|listener| listener.tls) {
            return fault(
                "tls",
                "absent".to_owned(),
                "[tls], since a listener has tls = true",
            );
        }
        let numbers = [
            (
                "worker_threads",
                self.worker_threads as u64,
                0,
                1024,
                "0 to 1024",
            ),
            ("drain_ms", self.drain_ms, 0, 600_000, "0 to 600000"),
            (
                "identity_check_ms",
                self.identity_check_ms.0,
                100,
                86_400_000,
                "100 to 86400000",
            ),
            (
                "connections.max",
                self.connections.max as u64,
                1,
                1_000_000,
                "1 to 1000000",
            ),
            (
                "connections.backlog",
                u64::from(self.connections.backlog),
                1,
                65_535,
                "1 to 65535",
            ),
            (
                "connections.handshake_timeout_ms",
                self.connections.handshake_timeout_ms,
                100,
                120_000,
                "100 to 120000",
            ),
            (
                "connections.h2_idle_timeout_ms",
                self.connections.h2_idle_timeout_ms,
                1_000,
                3_600_000,
                "1000 to 3600000",
            ),
            (
                "connections.h2_streams_max",
                u64::from(self.connections.h2_streams_max),
                1,
                1_000,
                "1 to 1000",
            ),
            (
                "feed.connect_timeout_ms",
                self.feed.connect_timeout_ms,
                100,
                60_000,
                "100 to 60000",
            ),
        ];
        for (key, value, low, high, expected) in numbers {
            if !(low..=high).contains(&value) {
                return fault(key, value.to_string(), expected);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use mcsp_edge_cache::disk::DiskConfig;
    use mcsp_edge_proxy::ShieldListenerConfig;
    use mcsp_runtime::parse_config;

    use super::*;

    fn keys(prefix: &str, table: &toml::Table, found: &mut Vec<String>) {
        for (key, value) in table {
            let name = format!("{prefix}{key}");
            match value {
                toml::Value::Table(table) => keys(&format!("{name}."), table, found),
                toml::Value::Array(entries) => {
                    for table in entries.iter().filter_map(toml::Value::as_table) {
                        keys(&format!("{name}."), table, found);
                    }
                    found.push(name);
                }
                _ => found.push(name),
            }
        }
    }

    /// The text says what the code does: it can be read, every default in it is the code's, and it leaves no key out.
    #[test]
    fn the_printed_defaults_are_the_codes_and_complete() {
        let config: NodeConfig =
            parse_config(DEFAULT_TOML, "default.toml", "MCSP_NO_SUCH_").unwrap();
        config.validate().unwrap();
        let whole = toml::Table::try_from(&config).unwrap();
        let (mut known, mut printed) = (Vec::new(), Vec::new());
        keys("", &whole, &mut known);
        keys("", &DEFAULT_TOML.parse().unwrap(), &mut printed);
        known.sort();
        printed.sort();
        known.dedup();
        printed.dedup();
        assert_eq!(known, printed);
        let text = |value: &dyn std::fmt::Debug| format!("{value:?}");
        let disk = config.cache.disk.clone().unwrap();
        assert_eq!(text(&disk), text(&DiskConfig::in_dir(&disk.dir)));
        let memory = CacheConfig {
            disk: None,
            ..config.cache.clone()
        };
        assert_eq!(text(&memory), text(&CacheConfig::default()));
        assert_eq!(text(&config.fetch), text(&FetchConfig::default()));
        assert_eq!(text(&config.prefetch), text(&PrefetchConfig::default()));
        let mut shield = config.shield.clone();
        assert_eq!(shield.parent.len(), 1);
        let listener = shield.listener.take().unwrap();
        let address = listener.address;
        let required: ShieldListenerConfig = parse_config(
            &format!("address = \"{address}\""),
            "x.toml",
            "MCSP_NO_SUCH_",
        )
        .unwrap();
        assert_eq!(listener, required);
        shield.parent.clear();
        assert_eq!(shield, ShieldConfig::default());
        assert_eq!(text(&config.h1), text(&Limits::default()));
        assert_eq!(
            text(&config.connections),
            text(&ConnectionsConfig::default())
        );
        assert_eq!(text(&config.feed), text(&FeedConfig::default()));
        let mut limits = config.limits.clone();
        limits.exchange.listen = None;
        limits.exchange.peers.clear();
        assert_eq!(limits, LimitsConfig::default());
        assert_eq!(config.media_renewal, RenewalPolicy::default());
        assert_eq!(config.token_keys, RefreshConfig::default());
        let mut waf = config.waf.clone();
        waf.rules.files.clear();
        waf.audit_file = None;
        assert_eq!(waf, WafConfig::default());
        assert_eq!(text(&config.admin), text(&AdminConfig::default()));
        assert_eq!(
            text(&config.proxy.limits),
            text(&ProxyConfig::default().limits)
        );
        assert_eq!(
            text(&config.proxy.trust),
            text(&ProxyConfig::default().trust)
        );
        let mut upstream = config.proxy.upstream.clone();
        upstream.region.clear();
        assert_eq!(text(&upstream), text(&ProxyConfig::default().upstream));
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        let text = format!("colour = 1\n{DEFAULT_TOML}");
        let error = parse_config::<NodeConfig>(&text, "x.toml", "MCSP_NO_SUCH_").unwrap_err();
        assert!(error.to_string().contains("colour"), "{error}");
    }

    #[test]
    fn values_out_of_range_are_named() {
        let mut config: NodeConfig =
            parse_config(DEFAULT_TOML, "default.toml", "MCSP_NO_SUCH_").unwrap();
        config.connections.max = 0;
        let error = config.validate().unwrap_err().to_string();
        assert_eq!(error, "connections.max = 0: expected 1 to 1000000");
        config.connections.max = 1;
        config.admin.address.set_ip([0, 0, 0, 0].into());
        let error = config.validate().unwrap_err().to_string();
        assert!(error.starts_with("admin.address = 0.0.0.0:"), "{error}");
        config.admin = AdminConfig::default();
        config.listener[0].proxy_protocol = ProxyProtocol::Required;
        let error = config.validate().unwrap_err().to_string();
        assert!(
            error.starts_with("listener.proxy_sources (entries) = 0: expected 1 to 64"),
            "{error}"
        );
        config.listener[0].proxy_sources = vec!["10.0.0.0/8".parse().unwrap()];
        config.validate().unwrap();
        config.listener[0].proxy_protocol = ProxyProtocol::Off;
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains("expected none"), "{error}");
        config.listener[0].proxy_sources.clear();
        config.tls = None;
        assert!(
            config
                .validate()
                .unwrap_err()
                .to_string()
                .starts_with("tls = absent")
        );
    }
}
