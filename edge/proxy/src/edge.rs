//! What all requests of a node share.

use std::sync::Arc;

use arc_swap::ArcSwap;
use mcsp_auth_edge::{MediaKeyring, Revocations, TokenVerifier};
use mcsp_edge_cache::EdgeCache;
use mcsp_geo::GeoDb;
use mcsp_identity::WorkloadIdentity;
use mcsp_pop_config::{PopManifest, PopSet};
use mcsp_runtime::{SharedClock, SharedEntropy};
use mcsp_telemetry::RedMetrics;
use prometheus::Registry;
use thiserror::Error;

use crate::config::{ProxyConfig, ProxyConfigError};
use crate::feed_state::FeedState;
use crate::metrics::ProxyMetrics;
use crate::upstream::{PeerIdentity, Upstreams};

/// What a node hands to its proxy.
#[derive(Debug)]
pub struct EdgeParts {
    /// The proxy's configuration.
    pub config: ProxyConfig,
    /// Which of `pops` this node belongs to.
    pub pop_id: String,
    /// Every PoP and region.
    pub pops: Arc<PopSet>,
    /// Countries by address; without it every country is unknown.
    pub geo: Option<Arc<GeoDb>>,
    /// The cache.
    pub cache: &'static EdgeCache,
    /// Keys of media URLs; filled by the feed.
    pub keyring: Arc<MediaKeyring>,
    /// Keys of access tokens; filled by the feed. Judges login sessions by `revocations`.
    pub verifier: Arc<TokenVerifier>,
    /// Ended sessions; filled by the feed.
    pub revocations: Arc<Revocations>,
    /// How the node stands with the feed.
    pub feed: Arc<FeedState>,
    /// Who the node is to its origins.
    pub identity: WorkloadIdentity,
    /// The time.
    pub clock: SharedClock,
    /// Trace ids.
    pub entropy: SharedEntropy,
    /// Rate, errors, duration; absent in tests that do not count.
    pub red: Option<RedMetrics>,
}

/// Why there is no proxy.
#[derive(Debug, Error)]
pub enum EdgeError {
    /// A value cannot be used.
    #[error("{0}")]
    Config(#[from] ProxyConfigError),
    /// The node's identity cannot be used.
    #[error("{0}")]
    Identity(String),
    /// The PoP configuration does not have this PoP.
    #[error("pop = {0:?}: expected the id of a PoP in the PoP configuration")]
    UnknownPop(String),
    /// The metrics are registered already.
    #[error("proxy metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// What all requests of a node share.
#[derive(Debug)]
pub struct Edge {
    pub(crate) config: ProxyConfig,
    pub(crate) pop: PopManifest,
    pub(crate) pops: Arc<PopSet>,
    /// Under which addresses viewers reach this node, the first preferred.
    pub(crate) public_bases: Vec<String>,
    pub(crate) geo: Option<Arc<GeoDb>>,
    pub(crate) cache: &'static EdgeCache,
    pub(crate) keyring: Arc<MediaKeyring>,
    pub(crate) verifier: Arc<TokenVerifier>,
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) feed: Arc<FeedState>,
    pub(crate) upstreams: Upstreams,
    pub(crate) peer_identity: ArcSwap<PeerIdentity>,
    pub(crate) entropy: SharedEntropy,
    pub(crate) metrics: ProxyMetrics,
    pub(crate) red: Option<RedMetrics>,
}

impl Edge {
    /// Puts the parts together; resolves the origins' addresses, so it blocks.
    ///
    /// # Errors
    /// When a value cannot be used, the PoP is unknown, or `registry` has a proxy's metrics already.
    pub fn new(parts: EdgeParts, registry: &Registry) -> Result<Arc<Self>, EdgeError> {
        parts.config.validate()?;
        let Some(pop) = parts.pops.get(&parts.pop_id).cloned() else {
            return Err(EdgeError::UnknownPop(parts.pop_id));
        };
        let upstreams = Upstreams::new(&parts.config.upstream, &parts.clock)?;
        if upstreams.region(&pop.region).is_none() {
            let expected = format!(
                "{:?}, the home region of {}, among them",
                pop.region, pop.id
            );
            return Err(
                ProxyConfigError::new("upstream.region", "a list without it", expected).into(),
            );
        }
        let mut public_bases: Vec<String> = pop.base_urls.iter().map(base_of).collect();
        public_bases.extend(
            parts
                .config
                .public_bases
                .iter()
                .map(|base| base.to_ascii_lowercase()),
        );
        let peer_identity = peer_identity(&parts.identity, 0)?;
        Ok(Arc::new(Self {
            pop,
            upstreams,
            public_bases,
            peer_identity: ArcSwap::from_pointee(peer_identity),
            metrics: ProxyMetrics::register(registry)?,
            config: parts.config,
            pops: parts.pops,
            geo: parts.geo,
            cache: parts.cache,
            keyring: parts.keyring,
            verifier: parts.verifier,
            revocations: parts.revocations,
            feed: parts.feed,
            entropy: parts.entropy,
            red: parts.red,
        }))
    }

    /// Presents another certificate to origins from now on; `generation` tells identities apart and rises.
    ///
    /// # Errors
    /// When the identity cannot be used; the one before stays.
    pub fn set_identity(
        &self,
        identity: &WorkloadIdentity,
        generation: u64,
    ) -> Result<(), EdgeError> {
        self.peer_identity
            .store(Arc::new(peer_identity(identity, generation)?));
        Ok(())
    }
}

fn peer_identity(identity: &WorkloadIdentity, generation: u64) -> Result<PeerIdentity, EdgeError> {
    PeerIdentity::new(identity, generation).map_err(|error| EdgeError::Identity(error.to_string()))
}

fn base_of(url: &impl AsRef<str>) -> String {
    url.as_ref().trim_end_matches('/').to_ascii_lowercase()
}
