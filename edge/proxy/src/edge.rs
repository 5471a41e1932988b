//! What all requests of a node share.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderValue;
use mcsp_auth_edge::media::partner::Partners;
use mcsp_auth_edge::token::JwksRefresher;
use mcsp_auth_edge::{MediaKeyring, MediaVerifier, RenewalPolicy, Revocations, TokenVerifier};
use mcsp_edge_cache::engine::Cache;
use mcsp_edge_fetch::Fetcher;
use mcsp_edge_limits::Limits;
use mcsp_edge_policy::cdn_loop;
use mcsp_edge_policy::cmsd::Dynamic;
use mcsp_edge_prefetch::{PrefetchConfig, PrefetchConfigError, Prefetcher};
use mcsp_geo::GeoDb;
use mcsp_identity::WorkloadIdentity;
use mcsp_pop_config::{PopManifest, PopSet};
use mcsp_runtime::{SharedClock, SharedEntropy, Shutdown};
use mcsp_telemetry::RedMetrics;
use prometheus::Registry;
use thiserror::Error;

use crate::access_log::AccessLog;
use crate::config::{ProxyConfig, ProxyConfigError};
use crate::context::RequestContext;
use crate::feed_state::FeedState;
use crate::metrics::ProxyMetrics;
use crate::plain::{PlainRoutes, RouteConfig};
use crate::serve::{FetchAhead, Setbacks, Underway};
use crate::shield::{AllParents, ShieldConfig};
use crate::upstream::{PeerIdentity, Upstreams};
use crate::visitor::Networks;
use crate::waf::Firewall;

/// What a node hands to its proxy.
#[derive(Debug)]
pub struct EdgeParts {
    /// The proxy's configuration.
    pub config: ProxyConfig,
    /// Routes to plain origins.
    pub routes: Vec<RouteConfig>,
    /// The PoP's id, which names the node in `Cache-Status` and logs; a token (RFC 9110 section 5.6.2).
    pub pop_id: String,
    /// This node among the PoP's; a token.
    pub node: String,
    /// Parents, and whether the node is one.
    pub shield: ShieldConfig,
    /// Absent for a node that has plain routes only.
    pub home: Option<HomeParts>,
    /// Countries by address; without it every country is unknown.
    pub geo: Option<Arc<GeoDb>>,
    /// Whose networks clients are in.
    pub networks: Networks,
    /// The cache.
    pub cache: Cache,
    /// Asks origins for what the cache does not have.
    pub fetcher: Fetcher,
    /// How much viewers may ask for.
    pub limits: Arc<Limits>,
    /// What is fetched before viewers ask for it.
    pub prefetch: PrefetchConfig,
    /// Keys of media URLs; filled by the feed.
    pub keyring: Arc<MediaKeyring>,
    /// Who else may sign media URLs.
    pub partners: Partners,
    /// How long media URLs and their sessions live.
    pub renewal: RenewalPolicy,
    /// Keys of access tokens; filled by the feed. Judges login sessions by `revocations`.
    pub verifier: Arc<TokenVerifier>,
    /// Asks issuers for keys that the verifier lacks; absent: it has what the feed tells.
    pub token_keys: Option<Arc<JwksRefresher>>,
    /// Ended sessions; filled by the feed.
    pub revocations: Arc<Revocations>,
    /// How the node stands with the feed.
    pub feed: Arc<FeedState>,
    /// The time.
    pub clock: SharedClock,
    /// Trace ids.
    pub entropy: SharedEntropy,
    /// Rate, errors, duration; absent in tests that do not count.
    pub red: Option<RedMetrics>,
    /// Where a line for each request goes; absent in tests that look at none.
    pub access_log: Option<AccessLog>,
    /// Looks at what viewers send; absent: nothing is inspected.
    pub firewall: Option<Arc<Firewall>>,
}

/// What a node of a PoP has beside: regions to ask, and who it is to them.
#[derive(Debug)]
pub struct HomeParts {
    /// Every PoP and region; `pop_id` is one of them.
    pub pops: Arc<PopSet>,
    /// Who the node is to its origins.
    pub identity: WorkloadIdentity,
}

/// Why there is no proxy.
#[derive(Debug, Error)]
pub enum EdgeError {
    /// A value cannot be used.
    #[error("{0}")]
    Config(#[from] ProxyConfigError),
    /// A value of the prefetcher's cannot be used.
    #[error("{0}")]
    Prefetch(#[from] PrefetchConfigError),
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
    /// The PoP's id.
    pub(crate) name: String,
    /// The PoP's id and the node's: what other nodes of ours know it by.
    pub(crate) node_name: String,
    /// What the node adds to requests that it makes.
    pub(crate) cdn_loop: cdn_loop::Member,
    pub(crate) shield: ShieldConfig,
    /// Absent for a node that has plain routes only.
    pub(crate) home: Option<Home>,
    pub(crate) routes: PlainRoutes,
    /// RFC 6797, for answers over TLS.
    pub(crate) hsts: Option<HeaderValue>,
    /// `CMSD-Dynamic` of what took less than a millisecond: most hits.
    pub(crate) cmsd_at_once: Option<HeaderValue>,
    /// Under which addresses viewers reach this node, the first preferred.
    pub(crate) public_bases: Vec<String>,
    pub(crate) geo: Option<Arc<GeoDb>>,
    pub(crate) networks: Networks,
    pub(crate) cache: Cache,
    pub(crate) fetcher: Fetcher,
    pub(crate) limits: Arc<Limits>,
    pub(crate) prefetcher: Arc<Prefetcher<FetchAhead>>,
    /// Fetches that viewers wait for.
    pub(crate) viewer_fetches: Underway,
    /// Objects whose origins failed a moment ago.
    pub(crate) setbacks: Setbacks,
    pub(crate) media: MediaVerifier,
    pub(crate) renewal: RenewalPolicy,
    pub(crate) token_keys: Option<Arc<JwksRefresher>>,
    pub(crate) verifier: Arc<TokenVerifier>,
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) feed: Arc<FeedState>,
    pub(crate) clock: SharedClock,
    pub(crate) entropy: SharedEntropy,
    pub(crate) metrics: ProxyMetrics,
    pub(crate) red: Option<RedMetrics>,
    pub(crate) access_log: Option<AccessLog>,
    pub(crate) firewall: Option<Arc<Firewall>>,
}

/// The node's place among the PoPs, and its way to the regions.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) pop: PopManifest,
    pub(crate) pops: Arc<PopSet>,
    pub(crate) upstreams: Upstreams,
    pub(crate) parents: AllParents,
    pub(crate) peer_identity: ArcSwap<PeerIdentity>,
}

impl Home {
    fn new(
        pop_id: &str,
        parts: HomeParts,
        config: &ProxyConfig,
        shield: &ShieldConfig,
        clock: &SharedClock,
    ) -> Result<Self, EdgeError> {
        let Some(pop) = parts.pops.get(pop_id).cloned() else {
            return Err(EdgeError::UnknownPop(pop_id.to_owned()));
        };
        let upstreams = Upstreams::new(&config.upstream, clock)?;
        if upstreams.region(&pop.region).is_none() {
            let expected = format!(
                "{:?}, the home region of {}, among them",
                pop.region, pop.id
            );
            return Err(
                ProxyConfigError::new("upstream.region", "a list without it", expected).into(),
            );
        }
        let parents = AllParents::new(shield, &pop, &parts.pops, &upstreams, clock)?;
        Ok(Self {
            pop,
            pops: parts.pops,
            upstreams,
            parents,
            peer_identity: ArcSwap::from_pointee(peer_identity(&parts.identity, 0)?),
        })
    }
}

impl Edge {
    /// Puts the parts together; resolves the origins' addresses, so it blocks.
    ///
    /// # Errors
    /// When a value cannot be used, the PoP is unknown, or `registry` has a proxy's metrics already.
    pub fn new(parts: EdgeParts, registry: &Registry) -> Result<Arc<Self>, EdgeError> {
        parts.config.validate()?;
        parts.prefetch.validate()?;
        parts.shield.validate()?;
        let metrics = ProxyMetrics::register(registry, parts.red.as_ref())?;
        let routes = PlainRoutes::new(
            &parts.routes,
            &parts.config.upstream,
            &parts.clock,
            &metrics,
        )?;
        if parts.home.is_none() && routes.is_empty() {
            let error = ProxyConfigError::new("upstream.region", "[]", "a region, or a [[route]]");
            return Err(error.into());
        }
        let home = match parts.home {
            Some(home) => Some(Home::new(
                &parts.pop_id,
                home,
                &parts.config,
                &parts.shield,
                &parts.clock,
            )?),
            None => {
                parts.shield.check_for_no_region()?;
                None
            }
        };
        let loop_id = format!("{}.{}.mcsp-edge", parts.node, parts.pop_id);
        let run = format!("{:016x}", parts.entropy.next_u64());
        let Some(cdn_loop) = cdn_loop::Member::new(&loop_id, &run) else {
            return Err(ProxyConfigError::new("node", parts.node, "a token").into());
        };
        let bases = home.iter().flat_map(|home| &home.pop.base_urls);
        let mut public_bases: Vec<String> = bases.map(base_of).collect();
        public_bases.extend(
            parts
                .config
                .public_bases
                .iter()
                .map(|base| base.to_ascii_lowercase()),
        );
        let viewer_fetches = Underway::default();
        let work = FetchAhead::new(&parts.cache, &viewer_fetches, &parts.prefetch);
        let prefetcher = Prefetcher::new(work, parts.prefetch, registry)?;
        let media = MediaVerifier::new(parts.keyring, Arc::clone(&parts.clock));
        media.set_partners(parts.partners);
        Ok(Arc::new(Self {
            node_name: format!("{}/{}", parts.pop_id, parts.node),
            cmsd_at_once: cmsd_at_once(&parts.pop_id),
            name: parts.pop_id,
            cdn_loop,
            shield: parts.shield,
            home,
            routes,
            hsts: hsts(parts.config.hsts_max_age_s),
            public_bases,
            metrics,
            config: parts.config,
            geo: parts.geo,
            networks: parts.networks,
            cache: parts.cache,
            fetcher: parts.fetcher,
            limits: parts.limits,
            prefetcher,
            viewer_fetches,
            setbacks: Setbacks::new(),
            media,
            renewal: parts.renewal,
            token_keys: parts.token_keys,
            verifier: parts.verifier,
            revocations: parts.revocations,
            feed: parts.feed,
            clock: parts.clock,
            entropy: parts.entropy,
            red: parts.red,
            access_log: parts.access_log,
            firewall: parts.firewall,
        }))
    }

    /// What the cache is called in an answer: to viewers it is the PoP's, to other nodes this one's.
    pub(crate) fn cache_name(&self, context: &RequestContext) -> &str {
        if context.child.is_some() {
            &self.node_name
        } else {
            &self.name
        }
    }

    /// Fetches ahead what viewers are likely to ask for next, until `stop`.
    pub async fn fetch_ahead(self: Arc<Self>, stop: Shutdown) {
        Arc::clone(&self.prefetcher).run(stop).await;
    }

    /// Honours the tokens of these partners from now on, and of no others.
    pub fn set_partners(&self, partners: Partners) {
        self.media.set_partners(partners);
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
        if let Some(home) = &self.home {
            home.peer_identity
                .store(Arc::new(peer_identity(identity, generation)?));
        }
        Ok(())
    }
}

fn peer_identity(identity: &WorkloadIdentity, generation: u64) -> Result<PeerIdentity, EdgeError> {
    PeerIdentity::new(identity, generation).map_err(|error| EdgeError::Identity(error.to_string()))
}

fn hsts(max_age_s: u32) -> Option<HeaderValue> {
    let value = HeaderValue::try_from(format!("max-age={max_age_s}"));
    value.ok().filter(|_| max_age_s > 0)
}

fn cmsd_at_once(server: &str) -> Option<HeaderValue> {
    let dynamic = Dynamic {
        server,
        response_delay_ms: Some(0),
        ..Dynamic::default()
    };
    HeaderValue::try_from(dynamic.to_string()).ok()
}

fn base_of(url: &impl AsRef<str>) -> String {
    url.as_ref().trim_end_matches('/').to_ascii_lowercase()
}
