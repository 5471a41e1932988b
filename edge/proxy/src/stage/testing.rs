//! A node's shared state for tests of stages.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use mcsp_api::events::MediaType;
use mcsp_api::{Residency, Role, ViewerIdentity};
use mcsp_auth_edge::media::partner::Partners;
use mcsp_auth_edge::{
    MediaGrant, MediaKeyConfig, MediaKeyStore, MediaKeyring, RenditionLimits, RenewalPolicy,
    Revocations, TokenForm, TokenPolicy, TokenVerifier,
};
use mcsp_edge_cache::engine::{Cache, CacheConfig};

use mcsp_edge_fetch::{FetchConfig, Fetcher};
use mcsp_edge_limits::{Limits, LimitsConfig};
use mcsp_edge_prefetch::PrefetchConfig;
use mcsp_identity::{LocalCa, SpiffeId, WorkloadIdentity};
use mcsp_pop_config::PopSet;
use mcsp_runtime::{ManualClock, SeededEntropy, SharedClock, SharedEntropy, SystemEntropy};
use mcsp_telemetry::TraceContext;
use pingora_http::RequestHeader;
use prometheus::Registry;
use tempfile::TempDir;

use crate::config::{ProxyConfig, RegionUpstream, UpstreamConfig};
use crate::context::RequestContext;
use crate::edge::{Edge, EdgeParts, HomeParts};
use crate::feed_state::FeedState;
use crate::shield::ShieldConfig;
use crate::visitor::Networks;

pub(crate) const NOW_MS: i64 = 1_795_305_600_000;
pub(crate) const CONTENT: &str = "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc";
pub(crate) const OTHER_CONTENT: &str = "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bd";

const REGIONS: &str = r#"
[[region]]
id = "ng-lagos"
code = "ng"
country = "NG"
[[region]]
id = "global-london"
code = "gl"
country = "GB"
"#;

fn pop(id: &str, country: &str, latitude: f64, longitude: f64, region: &str, rank: u32) -> String {
    format!(
        "id = \"{id}\"\nname = \"{id}\"\ncountry = \"{country}\"\nlatitude = {latitude:?}\nlongitude = {longitude:?}\n\
         trust = \"own\"\nregion = \"{region}\"\nbase_urls = [\"https://{id}.example\"]\nfallback_rank = {rank}\n"
    )
}

pub(crate) struct Fixture {
    pub(crate) edge: Arc<Edge>,
    pub(crate) clock: Arc<ManualClock>,
    keys: MediaKeyStore,
    _dir: TempDir,
}

impl Fixture {
    /// A node of `los1`, `abv1` or `lhr1` that has just heard from its feed.
    pub(crate) fn new(pop_id: &str) -> Self {
        let fixture = Self::without_keys(pop_id);
        for material in fixture.keys.published() {
            fixture.edge.media.keyring().upsert(material).unwrap();
        }
        fixture
    }

    pub(crate) fn without_keys(pop_id: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let clock = ManualClock::new(NOW_MS);
        let pops = [
            ("abv1", pop("abv1", "NG", 9.06, 7.49, "ng-lagos", 20)),
            ("lhr1", pop("lhr1", "GB", 51.47, -0.45, "global-london", 30)),
            ("los1", pop("los1", "NG", 6.58, 3.32, "ng-lagos", 10)),
        ];
        let pops =
            PopSet::from_toml(REGIONS, pops.iter().map(|(id, text)| (*id, text.as_str()))).unwrap();
        let ca = LocalCa::create_or_open(&dir.path().join("ca")).unwrap();
        let id = SpiffeId::new("mcsp.internal", "edge", pop_id).unwrap();
        let files = ca.issue(&id, &[], &dir.path().join("id")).unwrap();
        let keys = MediaKeyStore::open(
            dir.path().join("media-keys.json"),
            "ng".parse().unwrap(),
            MediaKeyConfig::default(),
            clock.clone(),
            SystemEntropy::shared(),
        )
        .unwrap();
        let feed = FeedState::new(clock.clone());
        feed.touch();
        let revocations = Revocations::new(clock.clone());
        let verifier = TokenVerifier::new(
            TokenPolicy::for_regions(["ng-lagos", "global-london"]),
            clock.clone(),
        )
        .with_revocations(Arc::clone(&revocations));
        let region = |id: &str| RegionUpstream {
            id: id.to_owned(),
            origin: vec!["127.0.0.1:1".to_owned()],
            origin_server_name: format!("origin.{id}.mcsp.internal"),
            storage: vec!["127.0.0.1:2".to_owned()],
            storage_server_name: format!("origin.{id}.mcsp.internal"),
        };
        let config = ProxyConfig {
            upstream: UpstreamConfig {
                region: vec![region("ng-lagos"), region("global-london")],
                ..UpstreamConfig::default()
            },
            public_bases: vec!["http://127.0.0.1:8080".to_owned()],
            ..ProxyConfig::default()
        };
        let registry = Registry::new();
        let (shared, entropy): (SharedClock, SharedEntropy) =
            (clock.clone(), SeededEntropy::new(1));
        let parts = EdgeParts {
            config,
            pop_id: pop_id.to_owned(),
            node: "1".to_owned(),
            shield: ShieldConfig::default(),
            routes: Vec::new(),
            home: Some(HomeParts {
                pops: Arc::new(pops),
                identity: WorkloadIdentity::load(&files.config()).unwrap(),
            }),
            geo: None,
            cache: Cache::open(CacheConfig::default(), clock.clone(), &registry).unwrap(),
            fetcher: Fetcher::new(FetchConfig::default(), clock.clone(), &registry).unwrap(),
            limits: Limits::new(&LimitsConfig::default(), &shared, &entropy, &registry).unwrap(),
            prefetch: PrefetchConfig::default(),
            partners: Partners::default(),
            renewal: RenewalPolicy::default(),
            token_keys: None,
            networks: Networks::default(),
            keyring: Arc::new(MediaKeyring::new(clock.clone())),
            verifier: Arc::new(verifier),
            revocations,
            feed,
            clock: clock.clone(),
            entropy,
            red: None,
            access_log: None,
            firewall: None,
        };
        Self {
            edge: Edge::new(parts, &registry).unwrap(),
            clock,
            keys,
            _dir: dir,
        }
    }

    pub(crate) fn context(&self) -> RequestContext {
        RequestContext::new(TraceContext::root(&*self.edge.entropy, 1.0), Instant::now())
    }

    /// The context after `classify`.
    pub(crate) fn classified(&self, request: &RequestHeader) -> RequestContext {
        let mut context = self.context();
        if let ControlFlow::Break(answer) = super::classify::run(&self.edge, request, &mut context)
        {
            panic!("{answer:?}");
        }
        context
    }

    /// A token for [`CONTENT`], good for an hour.
    pub(crate) fn media_token(&self, residency: Residency, max_height: u32) -> String {
        let grant = MediaGrant {
            content_id: CONTENT.parse().unwrap(),
            user_id: "u_ng_01k9x3m5y8q2v7r4t6w1z0a3bc".parse().unwrap(),
            media_session_id: "ms_ng_01k9x3m5y8q2v7r4t6w1z0a3bc".parse().unwrap(),
            residency,
            media_type: MediaType::Video,
            expires_s: NOW_MS / 1000 + 3600,
            limits: RenditionLimits {
                max_height,
                max_audio_kbps: 0,
            },
            client: None,
        };
        self.keys.signer().sign(&grant, TokenForm::Hmac).unwrap()
    }
}

pub(crate) fn request(method: &str, path: &str) -> RequestHeader {
    RequestHeader::build(method, path.as_bytes(), None).unwrap()
}

pub(crate) fn identity(region: &str) -> ViewerIdentity {
    ViewerIdentity {
        user_id: format!("u_{region}_01k9x3m5y8q2v7r4t6w1z0a3bc")
            .parse()
            .unwrap(),
        role: Role::Viewer,
        session_id: "s".to_owned(),
        organisation_id: None,
        expires_s: NOW_MS / 1000 + 900,
    }
}
