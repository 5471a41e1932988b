//! Whom to ask, and how.

use std::sync::Arc;

use pingora_core::upstreams::peer::HttpPeer;

use crate::peer::plain_peer;
use crate::{Lease, PeerIdentity, PeerTimeouts, Pool, Sharding};

/// Addresses that all give the same answers, and how they are spoken to.
#[derive(Debug, Clone)]
pub struct Target {
    pool: Arc<Pool>,
    identity: Option<Arc<PeerIdentity>>,
    asks_elsewhere_when_away: bool,
    sharding: Option<Sharding>,
}

impl Target {
    /// Spoken to over TLS with `identity`; the peer's certificate must be our authority's and bear the pool's name.
    /// An address that answers 502, 503 or 504 is passed over while there are others.
    #[must_use]
    pub fn mtls(pool: Arc<Pool>, identity: Arc<PeerIdentity>) -> Self {
        Self {
            pool,
            identity: Some(identity),
            asks_elsewhere_when_away: true,
            sharding: None,
        }
    }

    /// Spoken to in clear. What it answers is its answer, whatever the status.
    #[must_use]
    pub fn plain(pool: Arc<Pool>) -> Self {
        Self {
            pool,
            identity: None,
            asks_elsewhere_when_away: false,
            sharding: None,
        }
    }

    /// Whether an address that answers 502, 503 or 504 is passed over while there are others.
    #[must_use]
    pub fn asking_elsewhere_when_away(mut self, yes: bool) -> Self {
        self.asks_elsewhere_when_away = yes;
        self
    }

    /// Objects are shared out among the addresses: a request with a shard is sent to the one that is its home.
    #[must_use]
    pub fn sharing_out(mut self, sharding: Sharding) -> Self {
        self.sharding = Some(sharding);
        self
    }

    /// Its addresses.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    pub(crate) fn lease(&self, shard: Option<u64>, tried: &[usize]) -> Option<Lease> {
        match (self.sharding, shard) {
            (Some(sharding), Some(object)) => self.pool.lease_for(object, sharding, tried),
            _ => self.pool.lease(tried),
        }
    }

    pub(crate) fn asks_elsewhere_when_away(&self) -> bool {
        self.asks_elsewhere_when_away
    }

    /// `None` for an address of TLS that has no name to be verified by.
    pub(crate) fn peer(&self, lease: &Lease, timeouts: &PeerTimeouts) -> Option<HttpPeer> {
        match &self.identity {
            Some(identity) => identity.peer(lease, timeouts),
            None => plain_peer(lease, timeouts),
        }
    }
}
