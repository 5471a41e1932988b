//! What nodes of a PoP tell each other.

use serde::{Deserialize, Serialize};

use super::{LimitsConfigError, between};

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

impl ExchangeConfig {
    /// Checks every range.
    pub(super) fn validate(&self) -> Result<(), LimitsConfigError> {
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
