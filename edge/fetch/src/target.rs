//! Whom to ask, and how.

use std::sync::Arc;

use pingora_core::protocols::ALPN;
use pingora_core::upstreams::peer::HttpPeer;

use crate::peer::plain_peer;
use crate::{Lease, PeerIdentity, PeerTimeouts, Pool};

/// Requests on one connection of HTTP/2 at once.
const STREAMS_MAX: usize = 64;
/// What an upstream may send before it is read: enough for a segment over a long path.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// How long an address is waited for before its answer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// TCP, and TLS on top of it, ms each.
    pub connect_timeout_ms: u64,
    /// From the request to the end of the answer's head, ms.
    pub head_timeout_ms: u64,
}

/// Addresses that all give the same answers, and how they are spoken to.
#[derive(Debug, Clone)]
pub struct Target {
    pool: Arc<Pool>,
    identity: Option<Arc<PeerIdentity>>,
    asks_elsewhere_when_away: bool,
    patience: Option<Patience>,
    speaks_http2: bool,
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
            patience: None,
            speaks_http2: false,
        }
    }

    /// Spoken to in clear. What it answers is its answer, whatever the status.
    #[must_use]
    pub fn plain(pool: Arc<Pool>) -> Self {
        Self {
            pool,
            identity: None,
            asks_elsewhere_when_away: false,
            patience: None,
            speaks_http2: false,
        }
    }

    /// Whether an address that answers 502, 503 or 504 is passed over while there are others.
    #[must_use]
    pub fn asking_elsewhere_when_away(mut self, yes: bool) -> Self {
        self.asks_elsewhere_when_away = yes;
        self
    }

    /// Waited for as long as `patience` says, whatever the fetcher does elsewhere.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = Some(patience);
        self
    }

    pub(crate) fn patience(&self) -> Option<Patience> {
        self.patience
    }

    /// Over TLS, HTTP/2 is spoken with those who can: many requests on one connection. Without effect on targets in clear.
    #[must_use]
    pub fn over_http2(mut self) -> Self {
        self.speaks_http2 = self.identity.is_some();
        self
    }

    pub(crate) fn speaks_http2(&self) -> bool {
        self.speaks_http2
    }

    /// Its addresses.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    pub(crate) fn asks_elsewhere_when_away(&self) -> bool {
        self.asks_elsewhere_when_away
    }

    /// `None` for an address of TLS that has no name to be verified by.
    pub(crate) fn peer(&self, lease: &Lease, timeouts: &PeerTimeouts) -> Option<HttpPeer> {
        let mut peer = match &self.identity {
            Some(identity) => identity.peer(lease, timeouts)?,
            None => plain_peer(lease, timeouts),
        };
        if self.speaks_http2 {
            let options = &mut peer.options;
            options.alpn = ALPN::H2H1;
            options.max_h2_streams = STREAMS_MAX;
            options.h2_stream_window_size = Some(STREAM_WINDOW_BYTES);
            options.h2_connection_window_size = Some(CONNECTION_WINDOW_BYTES);
        }
        Some(peer)
    }
}
