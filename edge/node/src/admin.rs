//! The admin listener: metrics, health, readiness, cache inspection, upstreams, the shield tier, the firewall, limits. On a runtime of its own, so that it answers
//! however busy the viewers' threads are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use mcsp_auth_edge::{MediaKeyring, TokenVerifier};
use mcsp_edge_cache::engine::{Cache, DiskReport, Inspection, Key};
use mcsp_edge_proxy::{Edge, FeedState, Firewall, ShieldState, UpstreamState, selecting};
use mcsp_telemetry::{Readiness, TelemetryLayer, admin_router};
use tokio::net::TcpListener;

use crate::boot::{BootError, Prepared};
use crate::firewall;
use crate::limits::LimitReloads;

/// What readiness depends on: a node that cannot tell a good token from a bad one must get no viewers.
pub(crate) struct Health {
    keyring: Arc<MediaKeyring>,
    verifier: Arc<TokenVerifier>,
    feed: Arc<FeedState>,
    /// Absent on a node that asks no region.
    home_region: Option<String>,
    media_until_ms: u64,
    draining: AtomicBool,
}

impl Health {
    pub(crate) fn new(prepared: &Prepared) -> Arc<Self> {
        Arc::new(Self {
            keyring: Arc::clone(&prepared.keyring),
            verifier: Arc::clone(&prepared.verifier),
            feed: Arc::clone(&prepared.feed_state),
            home_region: prepared
                .membership
                .as_ref()
                .map(|membership| membership.home.id.clone()),
            media_until_ms: prepared.config.proxy.trust.media_until_ms,
            draining: AtomicBool::new(false),
        })
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub(crate) fn readiness(&self) -> Readiness {
        let check = |good: bool, fault: &str| if good { Ok(()) } else { Err(fault.to_owned()) };
        let draining = check(!self.draining.load(Ordering::Acquire), "stopping");
        let ready = Readiness::ready().with("draining", draining);
        let Some(home_region) = &self.home_region else {
            return ready;
        };
        ready
            .with("media_keys", check(!self.keyring.is_empty(), "none held"))
            .with(
                "token_keys",
                check(
                    self.verifier.keys_age(home_region).is_some(),
                    "none held for the home region",
                ),
            )
            .with(
                "feed",
                check(
                    self.feed.is_within(self.media_until_ms),
                    "not heard of yet, or for too long",
                ),
            )
    }
}

/// `key`: a cache key, such as `/media/global/c_ng_…/manifest.m3u8`. `header`, any number of times: a field of the request whose
/// variant is looked for on the disk, `name: value`.
async fn inspect(
    State(cache): State<Cache>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<Inspection>, (StatusCode, String)> {
    let (key, fields) = inspected(&query).map_err(|fault| (StatusCode::BAD_REQUEST, fault))?;
    Ok(Json(
        cache.inspect(Key::new(key), &selecting(&fields)).await,
    ))
}

fn inspected(query: &[(String, String)]) -> Result<(&str, HeaderMap), String> {
    let (mut key, mut fields) = (None, HeaderMap::new());
    for (name, value) in query {
        match name.as_str() {
            "key" => key = Some(value.as_str()),
            "header" => {
                let fault = || format!("header = {value}: expected name: value");
                let (name, value) = value.split_once(':').ok_or_else(fault)?;
                let name = HeaderName::from_bytes(name.trim().as_bytes());
                let value = HeaderValue::from_str(value.trim());
                fields.append(name.map_err(|_| fault())?, value.map_err(|_| fault())?);
            }
            _ => return Err(format!("{name}: expected key and header")),
        }
    }
    let key = key.ok_or_else(|| "key: expected a cache key".to_owned())?;
    Ok((key, fields))
}

/// Whether the cache's disk serves, and if not, what was seen; what of it cannot be mapped; null on a node without one.
async fn disk(State(cache): State<Cache>) -> Json<Option<DiskReport>> {
    Json(cache.disk_report())
}

async fn shield(State(edge): State<Arc<Edge>>) -> Json<ShieldState> {
    Json(edge.shield_state())
}

/// How each upstream does, and since when one answers nobody.
async fn upstreams(State(edge): State<Arc<Edge>>) -> Json<Vec<UpstreamState>> {
    Json(edge.upstream_states())
}

/// Binds and serves on a thread of its own until the process ends, through the drain too; returns where.
pub(crate) fn start(
    address: SocketAddr,
    health: Arc<Health>,
    cache: Cache,
    edge: Arc<Edge>,
    firewall: Option<Arc<Firewall>>,
    limits: Arc<LimitReloads>,
) -> Result<SocketAddr, BootError> {
    let fault = |source| BootError::io(format!("admin.address {address}"), source);
    let listener = std::net::TcpListener::bind(address).map_err(fault)?;
    listener.set_nonblocking(true).map_err(fault)?;
    let bound = listener.local_addr().map_err(fault)?;
    let inspection = Router::new()
        .route("/cache/inspect", get(inspect))
        .route("/cache/disk", get(disk))
        .with_state(cache)
        .route("/shield", get(shield))
        .route("/upstreams", get(upstreams))
        .with_state(edge)
        .merge(firewall.map(firewall::router).unwrap_or_default())
        .merge(limits.router())
        .layer(TelemetryLayer::new("admin").quiet());
    let router = admin_router(move || health.readiness()).merge(inspection);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(fault)?;
    thread::Builder::new()
        .name("admin".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let served = match TcpListener::from_std(listener) {
                    Ok(listener) => axum::serve(listener, router).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = served {
                    tracing::error!(%error, "the admin listener ended");
                }
            });
        })
        .map_err(fault)?;
    Ok(bound)
}
