//! Everything that is read and checked before anything is bound.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mcsp_auth_edge::media::RenewalConfigError;
use mcsp_auth_edge::media::partner::{PartnerError, Partners};
use mcsp_auth_edge::token::{JwksRefresher, RefreshConfigError};
use mcsp_auth_edge::{MediaKeyring, Revocations, TokenPolicy, TokenVerifier};
use mcsp_edge_cache::disk::{Disk, DiskOpenError};
use mcsp_edge_cache::engine::{Backing, Cache, CacheError};
use mcsp_edge_fetch::{Fetcher, FetcherError};
use mcsp_edge_fingerprint::{NetworkList, NetworkListError};
use mcsp_edge_limits::{GossipError, LimiterError, Limits, LimitsConfigError};
use mcsp_edge_proxy::{
    AccessLog, Edge, EdgeError, EdgeParts, FeedState, Firewall, FirewallError, HomeParts, Networks,
    RegionUpstream,
};
use mcsp_edge_tls::{CertificateStore, TlsError};
use mcsp_geo::{AsnDb, GeoDb, GeoError};
use mcsp_identity::{CallerTableError, IdentityError, WorkloadIdentity};
use mcsp_pop_config::{PopConfigError, PopSet};
use mcsp_runtime::{
    CoarseClock, ConfigError, PooledEntropy, SharedClock, SystemClock, SystemEntropy,
};
use mcsp_telemetry::{LoggingError, red_metrics, registry};
use thiserror::Error;

use crate::config::{NodeConfig, NodeConfigError};
use crate::keys::RegionKeys;

/// Why the node does not run.
#[derive(Debug, Error)]
pub(crate) enum BootError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Value(#[from] NodeConfigError),
    #[error("{0}")]
    Pops(#[from] PopConfigError),
    #[error("identity: {0}")]
    Identity(#[from] IdentityError),
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Callers(#[from] CallerTableError),
    #[error("{0}")]
    Geo(#[from] GeoError),
    #[error("{0}")]
    Cache(#[from] CacheError),
    #[error("cache: {0}")]
    Disk(#[from] DiskOpenError),
    #[error("{0}")]
    Fetch(#[from] FetcherError),
    #[error("{0}")]
    Limits(#[from] LimiterError),
    #[error("{0}")]
    LimitValue(#[from] LimitsConfigError),
    #[error("limits.exchange: {0}")]
    Gossip(#[from] GossipError),
    #[error("{0}")]
    Edge(#[from] EdgeError),
    #[error("{0}")]
    Firewall(#[from] FirewallError),
    #[error("waf.rules: {0}")]
    Rules(#[from] mcsp_edge_waf::SiteError),
    #[error("{0}")]
    Networks(#[from] NetworkListError),
    #[error("{0}")]
    Partners(#[from] PartnerError),
    #[error("{0}")]
    Renewal(#[from] RenewalConfigError),
    #[error("{0}")]
    TokenKeys(#[from] RefreshConfigError),
    #[error("{0}")]
    Logging(#[from] LoggingError),
    #[error(
        "identity: the certificate is for {found}; expected namespace edge and account {pop:?}"
    )]
    NotThisPop { found: String, pop: String },
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("{what}: {source}")]
    Io {
        what: String,
        source: std::io::Error,
    },
}

impl BootError {
    pub(crate) fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io {
            what: what.into(),
            source,
        }
    }

    /// Is the configuration at fault, so that another start would end alike?
    pub(crate) fn is_configuration(&self) -> bool {
        !matches!(self, Self::Metrics(_) | Self::Io { .. })
    }
}

/// A node that is ready to bind and run.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) config: NodeConfig,
    pub(crate) clock: SharedClock,
    /// Absent on a node that has plain routes only.
    pub(crate) membership: Option<Membership>,
    pub(crate) certificates: Option<Arc<CertificateStore>>,
    pub(crate) cache: Cache,
    pub(crate) keyring: Arc<MediaKeyring>,
    pub(crate) verifier: Arc<TokenVerifier>,
    /// Asks issuers for their keys.
    pub(crate) token_keys: Option<Arc<JwksRefresher>>,
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) feed_state: Arc<FeedState>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) edge: Arc<Edge>,
    /// Absent where no rules are named.
    pub(crate) firewall: Option<Arc<Firewall>>,
    pub(crate) access_log: AccessLog,
}

/// What makes the node one of a PoP's.
#[derive(Debug, Clone)]
pub(crate) struct Membership {
    pub(crate) pops: Arc<PopSet>,
    pub(crate) identity: WorkloadIdentity,
    /// Where the feed comes from.
    pub(crate) home: RegionUpstream,
}

impl Membership {
    fn new(config: &NodeConfig) -> Result<Option<Self>, BootError> {
        if config.proxy.upstream.region.is_empty() {
            return Ok(None);
        }
        let (Some(pops_dir), Some(identity)) = (&config.pops_dir, &config.identity) else {
            return Err(config.missing_for_regions().into());
        };
        let pops = Arc::new(PopSet::load_dir(pops_dir)?);
        let identity = WorkloadIdentity::load(identity)?;
        check_name(&identity, &config.pop)?;
        let home_id = pops.get(&config.pop).map(|pop| pop.region.as_str());
        let home = config
            .proxy
            .upstream
            .region
            .iter()
            .find(|region| Some(region.id.as_str()) == home_id)
            .cloned()
            .ok_or_else(|| EdgeError::UnknownPop(config.pop.clone()))?;
        Ok(Some(Self {
            pops,
            identity,
            home,
        }))
    }
}

impl Prepared {
    /// Reads every file that the configuration names and puts the parts together. Binds nothing, writes nothing; `backing` is
    /// what the cache keeps over a restart.
    pub(crate) fn new(config: NodeConfig, backing: Option<Backing>) -> Result<Self, BootError> {
        config.validate()?;
        config.media_renewal.validate()?;
        config.token_keys.validate()?;
        // A request asks for it half a dozen times.
        let clock = CoarseClock::shared();
        let membership = Membership::new(&config)?;
        let partners = Partners::load(&config.media_partner)?;
        let certificates = config.tls.clone().map(CertificateStore::open).transpose()?;
        let geo = config
            .geo_database
            .as_ref()
            .map(GeoDb::open)
            .transpose()?
            .map(Arc::new);
        let (cache_config, cache_clock) = (config.cache.clone(), Arc::clone(&clock));
        let cache = match backing {
            Some(backing) => Cache::open_with(cache_config, cache_clock, registry(), backing)?,
            None => Cache::open(cache_config, cache_clock, registry())?,
        };
        let fetcher = Fetcher::new(config.fetch.clone(), Arc::clone(&clock), registry())?;
        let revocations = Revocations::new(Arc::clone(&clock));
        let keyring = Arc::new(MediaKeyring::new(Arc::clone(&clock)));
        let keys_age_max = config.token_keys_age_max();
        let verifier = verifier(membership.as_ref(), &clock, &revocations);
        let verifier = Arc::new(verifier.with_keys_age_max(keys_age_max));
        let token_keys = membership
            .as_ref()
            .map(|membership| refresher(&config, membership, &verifier, &clock));
        let feed_state = FeedState::new(Arc::clone(&clock));
        let entropy = PooledEntropy::shared();
        let limits = Limits::new(&config.limits, &clock, &entropy, registry())?;
        let access_log =
            AccessLog::start().map_err(|source| BootError::io("access log", source))?;
        let firewall = Firewall::new(&config.waf, Some(access_log.clone()), registry())?;
        let edge = Edge::new(
            EdgeParts {
                config: config.proxy.clone(),
                routes: config.route.clone(),
                pop_id: config.pop.clone(),
                node: config.node.clone(),
                shield: config.shield.clone(),
                home: membership.as_ref().map(|membership| HomeParts {
                    pops: Arc::clone(&membership.pops),
                    identity: membership.identity.clone(),
                }),
                geo,
                networks: networks(&config)?,
                cache: cache.clone(),
                fetcher,
                limits: Arc::clone(&limits),
                prefetch: config.prefetch.clone(),
                keyring: Arc::clone(&keyring),
                partners,
                renewal: config.media_renewal.clone(),
                token_keys: token_keys.clone(),
                verifier: Arc::clone(&verifier),
                revocations: Arc::clone(&revocations),
                feed: Arc::clone(&feed_state),
                clock: Arc::clone(&clock),
                entropy,
                red: Some(red_metrics()?),
                access_log: Some(access_log.clone()),
                firewall: firewall.clone(),
            },
            registry(),
        )?;
        Ok(Self {
            config,
            clock,
            membership,
            certificates,
            cache,
            keyring,
            verifier,
            token_keys,
            revocations,
            feed_state,
            limits,
            edge,
            firewall,
            access_log,
        })
    }

    /// Makes the node's folder, for its eyes only.
    pub(crate) fn make_state_dir(&self) -> Result<(), BootError> {
        let dir: &Path = &self.config.state_dir;
        let fault = |source| BootError::io(format!("state_dir {}", dir.display()), source);
        fs::create_dir_all(dir).map_err(fault)?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(fault)
    }
}

/// Opens what the cache keeps over a restart, if the configuration has it.
pub(crate) async fn backing(config: &NodeConfig) -> Result<Option<Backing>, BootError> {
    let Some(disk) = &config.cache.disk else {
        return Ok(None);
    };
    let (clock, entropy) = (SystemClock::shared(), SystemEntropy);
    let (_, backing) = Disk::backing(disk, clock, &entropy, registry()).await?;
    Ok(Some(backing))
}

/// Origins know an edge by its certificate; one that names another PoP would only be refused later.
fn check_name(identity: &WorkloadIdentity, pop: &str) -> Result<(), BootError> {
    let id = identity.spiffe_id();
    if id.namespace() == mcsp_identity::EDGE_NAMESPACE && id.account() == pop {
        return Ok(());
    }
    Err(BootError::NotThisPop {
        found: id.to_string(),
        pop: pop.to_owned(),
    })
}

fn networks(config: &NodeConfig) -> Result<Networks, BootError> {
    Ok(Networks {
        systems: config.asn_database.as_ref().map(AsnDb::open).transpose()?,
        list: match &config.network_list {
            Some(path) => NetworkList::load(path)?,
            None => NetworkList::default(),
        },
    })
}

fn refresher(
    config: &NodeConfig,
    membership: &Membership,
    verifier: &Arc<TokenVerifier>,
    clock: &SharedClock,
) -> Arc<JwksRefresher> {
    let fetch = RegionKeys::new(
        config.proxy.upstream.region.clone(),
        membership.identity.clone(),
        Duration::from_millis(config.feed.connect_timeout_ms),
    );
    Arc::new(JwksRefresher::new(
        Arc::clone(verifier),
        Arc::new(fetch),
        Arc::clone(clock),
        config.token_keys.clone(),
    ))
}

fn verifier(
    membership: Option<&Membership>,
    clock: &SharedClock,
    revocations: &Arc<Revocations>,
) -> TokenVerifier {
    let regions = membership.map_or(&[][..], |membership| membership.pops.regions());
    let codes: BTreeMap<_, _> = regions
        .iter()
        .map(|region| (region.id.clone(), region.code))
        .collect();
    TokenVerifier::new(
        TokenPolicy::for_regions(regions.iter().map(|region| region.id.as_str())),
        Arc::clone(clock),
    )
    .with_revocations(Arc::clone(revocations))
    .with_region_codes(codes)
}
