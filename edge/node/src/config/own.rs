//! Tables of the node's own: where it listens, how many it takes, whom it hears.

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::NodeConfigError;

/// How often the identity's files are looked at.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct IdentityCheckMs(pub(crate) u64);

impl Default for IdentityCheckMs {
    fn default() -> Self {
        Self(60_000)
    }
}

/// The admin listener.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AdminConfig {
    pub(crate) address: SocketAddr,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 9080)),
        }
    }
}

/// A listener for viewers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListenerConfig {
    pub(crate) address: SocketAddr,
    #[serde(default = "yes")]
    pub(crate) tls: bool,
    /// Whether connections begin with what a load balancer says of their client.
    #[serde(default)]
    pub(crate) proxy_protocol: ProxyProtocol,
    /// Who may say it.
    #[serde(default)]
    pub(crate) proxy_sources: Vec<IpNet>,
}

/// What connections of a listener begin with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProxyProtocol {
    /// What the client says: the socket's address is its own.
    #[default]
    Off,
    /// A PROXY header, version 1 or 2.
    Required,
}

/// Networks of load balancers.
const PROXY_SOURCES_MAX: usize = 64;

impl ListenerConfig {
    pub(super) fn validate(&self) -> Result<(), NodeConfigError> {
        let sources = self.proxy_sources.len();
        let (is_good, expected) = match self.proxy_protocol {
            ProxyProtocol::Off => (
                sources == 0,
                "none, since proxy_protocol is \"off\" and nobody is believed",
            ),
            ProxyProtocol::Required => (
                (1..=PROXY_SOURCES_MAX).contains(&sources),
                "1 to 64 networks, since proxy_protocol is \"required\"",
            ),
        };
        if is_good {
            return Ok(());
        }
        Err(NodeConfigError {
            key: "listener.proxy_sources (entries)",
            value: sources.to_string(),
            expected,
        })
    }
}

fn yes() -> bool {
    true
}

/// Bounds on connections from viewers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ConnectionsConfig {
    pub(crate) max: usize,
    pub(crate) backlog: u32,
    pub(crate) handshake_timeout_ms: u64,
    pub(crate) h2_idle_timeout_ms: u64,
    pub(crate) h2_streams_max: u32,
}

impl Default for ConnectionsConfig {
    fn default() -> Self {
        Self {
            max: 20_000,
            backlog: 1_024,
            handshake_timeout_ms: 10_000,
            h2_idle_timeout_ms: 60_000,
            h2_streams_max: 128,
        }
    }
}

/// The edge feed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FeedConfig {
    pub(crate) connect_timeout_ms: u64,
    pub(crate) persist: bool,
}

impl Default for FeedConfig {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 3_000,
            persist: true,
        }
    }
}
