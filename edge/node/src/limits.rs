//! What keeps the limits true beside the requests: the node's look at itself, and its word with the PoP's other nodes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mcsp_edge_limits::{Exchange, Gossip, Probe};
use mcsp_runtime::Shutdown;
use mcsp_telemetry::registry;
use tokio::net::TcpListener;

use crate::boot::{BootError, Membership, Prepared};

/// Ready to run.
pub(crate) struct Limiting {
    probe: Probe,
    gossip: Option<(Gossip, Option<TcpListener>)>,
    /// Where the PoP's other nodes tell what they admitted.
    pub(crate) address: Option<SocketAddr>,
}

impl Limiting {
    /// Binds where the configuration says so.
    pub(crate) async fn bind(prepared: &Prepared) -> Result<Self, BootError> {
        let limits = Arc::clone(&prepared.limits);
        let probe = Probe::new(limits, Arc::clone(&prepared.clock), registry())?;
        let listener = listener(prepared).await?;
        let bound = listener.as_ref().map(TcpListener::local_addr).transpose();
        let address = bound.map_err(|source| BootError::io("limits.exchange.listen", source))?;
        let gossip = match &prepared.membership {
            Some(membership) => gossip(prepared, membership)?,
            None => None,
        };
        Ok(Self {
            probe,
            gossip: gossip.map(|gossip| (gossip, listener)),
            address,
        })
    }

    /// Starts it.
    pub(crate) fn spawn(self, shutdown: &Shutdown) {
        tokio::spawn(self.probe.run(shutdown.clone()));
        if let Some((gossip, listener)) = self.gossip {
            tokio::spawn(gossip.run(listener, shutdown.clone()));
        }
    }
}

async fn listener(prepared: &Prepared) -> Result<Option<TcpListener>, BootError> {
    let Some(address) = prepared.config.limits.exchange.listen else {
        return Ok(None);
    };
    let bound = TcpListener::bind(address).await;
    let fault = |source| BootError::io(format!("limits.exchange.listen {address}"), source);
    bound.map(Some).map_err(fault)
}

/// Absent where the node is to speak to nobody.
fn gossip(prepared: &Prepared, membership: &Membership) -> Result<Option<Gossip>, BootError> {
    let config = &prepared.config;
    let settings = &config.limits.exchange;
    if settings.listen.is_none() && settings.peers.is_empty() {
        return Ok(None);
    }
    let exchange = Exchange::new(
        Arc::clone(&prepared.limits.limiter),
        &config.node,
        settings.stale_ms,
        Arc::clone(&prepared.clock),
        registry(),
    )?;
    let identity = &membership.identity;
    // All nodes of a PoP bear its name.
    let name = identity.spiffe_id().dns_name();
    let gossip = Gossip::new(
        Arc::new(exchange),
        identity,
        &name,
        &settings.peers,
        Duration::from_millis(settings.interval_ms),
        Duration::from_millis(settings.stale_ms),
    )?;
    Ok(Some(gossip))
}
