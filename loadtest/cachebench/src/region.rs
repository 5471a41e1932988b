//! A region for our node: the feed with its media keys, and media of any size, over mutual TLS. What media rows need, so
//! that each request's signature is checked as in service.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use mcsp_api::Residency;
use mcsp_api::events::MediaType;
use mcsp_api::proto::feed::{MediaKey, TokenKeySet};
use mcsp_auth_edge::{
    MediaGrant, MediaKeyConfig, MediaKeyMaterial, MediaKeyStore, RenditionLimits, TokenForm,
};
use mcsp_events::EventsOptions;
use mcsp_feed::{Change, Feed, FeedOptions};
use mcsp_identity::{CallerTable, LocalCa, SpiffeId, WorkloadIdentity};
use mcsp_rpc::RpcServer;
use mcsp_runtime::{Clock as _, ShutdownTrigger, SystemClock, SystemEntropy};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::error::BenchError;
use crate::sized;

const REGION: &str = "ng-lagos";
const SERVER_NAME: &str = "origin.ng-lagos.mcsp.internal";
const POP: &str = "los1";
const CONTENT: &str = "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc";
const USER: &str = "u_ng_01k9x3m5y8q2v7r4t6w1z0a3bc";
/// Of media sessions, all but their last two characters.
const MEDIA_SESSION: &str = "ms_ng_01k9x3m5y8q2v7r4t6w1z0a3";
/// The characters of ids, in their order (Crockford's base 32).
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// A key set with the example key of RFC 7517 A.1: API calls are no part of any row, but a node wants keys.
const JWKS: &str = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"alg\":\"ES256\",\"use\":\"sig\",\"kid\":\"1\",\
    \"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}]}";

/// The region; ends when dropped.
pub(crate) struct Region {
    /// What our node's configuration has more: whole keys, then tables.
    pub(crate) node_extra: String,
    /// What paths of media begin with, the token included.
    pub(crate) prefix: String,
    keys: MediaKeyStore,
    task: JoinHandle<()>,
}

impl Drop for Region {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn fault(error: impl std::fmt::Display) -> BenchError {
    BenchError::Answer(format!("the region: {error}"))
}

impl Region {
    /// Makes certificates, keys and a feed in `folder`, and serves.
    ///
    /// # Errors
    /// When a file or a socket fails.
    pub(crate) async fn start(folder: &Path) -> Result<Self, BenchError> {
        if folder.exists() {
            std::fs::remove_dir_all(folder).map_err(|source| BenchError::file(folder, source))?;
        }
        let pops = folder.join("pops");
        write_pops(&pops).map_err(|source| BenchError::file(&pops, source))?;
        let ca = LocalCa::create_or_open(&folder.join("ca")).map_err(fault)?;
        let name = |namespace, account| SpiffeId::new("mcsp.internal", namespace, account);
        let origin_id = name(REGION, "origin").map_err(fault)?;
        let origin = ca
            .issue(&origin_id, &[SERVER_NAME], &folder.join("origin"))
            .map_err(fault)?;
        let edge_id = name("edge", POP).map_err(fault)?;
        let edge = ca
            .issue(&edge_id, &[], &folder.join("edge"))
            .map_err(fault)?;
        let store = MediaKeyStore::open(
            folder.join("media-keys.json"),
            "ng".parse().map_err(fault)?,
            MediaKeyConfig::default(),
            SystemClock::shared(),
            SystemEntropy::shared(),
        )
        .map_err(fault)?;
        let feed = feed(folder, &store).await?;
        let body: Arc<Bytes> = Arc::new(sized::bytes_of_objects().into());
        let media = Router::new().fallback(serve).with_state(body);
        let identity = WorkloadIdentity::load(&origin.config()).map_err(fault)?;
        let server = RpcServer::builder(REGION, identity, CallerTable::embedded().map_err(fault)?)
            .grpc(tonic::service::Routes::new(mcsp_feed::grpc_service(feed)))
            .http("http:media", media)
            .build()
            .map_err(fault)?;
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        let (trigger, shutdown) = ShutdownTrigger::new();
        let task = tokio::spawn(async move {
            // It ends with the run; what it could say, the node says first.
            let _ = server.serve(listener, shutdown).await;
            drop(trigger);
        });
        let show = |path: &Path| path.display().to_string();
        let identity = edge.config();
        let node_extra = format!(
            "pop = \"{POP}\"\npops_dir = \"{}\"\n\
             [identity]\ncert_file = \"{}\"\nkey_file = \"{}\"\nca_file = \"{}\"\n\
             [[proxy.upstream.region]]\nid = \"{REGION}\"\norigin = [\"{address}\"]\n\
             origin_server_name = \"{SERVER_NAME}\"\n",
            show(&pops),
            show(&identity.cert_file),
            show(&identity.key_file),
            show(&identity.ca_file),
        );
        Ok(Self {
            node_extra,
            prefix: prefix(&store, 0)?,
            keys: store,
            task,
        })
    }

    /// The same as [`prefix`](Self::prefix) for as many playback sessions, 1024 at most.
    ///
    /// # Errors
    /// When a token cannot be signed.
    pub(crate) fn prefixes(&self, sessions: usize) -> Result<Vec<String>, BenchError> {
        (0..sessions)
            .map(|session| prefix(&self.keys, session))
            .collect()
    }
}

/// `/media/{token}/global/{content id}`.
fn prefix(store: &MediaKeyStore, session: usize) -> Result<String, BenchError> {
    let digit = |at: usize| char::from(DIGITS[at % DIGITS.len()]);
    let session = format!(
        "{MEDIA_SESSION}{}{}",
        digit(session / DIGITS.len()),
        digit(session)
    );
    let grant = MediaGrant {
        content_id: CONTENT.parse().map_err(fault)?,
        user_id: USER.parse().map_err(fault)?,
        media_session_id: session.parse().map_err(fault)?,
        residency: Residency::Global,
        media_type: MediaType::Video,
        expires_s: SystemClock.now_s() + 6 * 3600,
        limits: RenditionLimits::default(),
        client: None,
    };
    let token = store
        .signer()
        .sign(&grant, TokenForm::Hmac)
        .map_err(fault)?;
    Ok(format!(
        "/media/{token}/{}/{CONTENT}",
        Residency::Global.prefix()
    ))
}

/// A feed with the keys that media tokens are verified with.
async fn feed(folder: &Path, store: &MediaKeyStore) -> Result<Feed, BenchError> {
    let clock = SystemClock::shared();
    let uri = format!("redb:{}", folder.join("events.redb").display());
    let options = EventsOptions {
        clock: clock.clone(),
        identity: None,
    };
    let log = mcsp_events::open(&uri, options).await.map_err(fault)?;
    let feed = Feed::open_with(FeedOptions {
        log,
        region: REGION.to_owned(),
        clock,
        entropy: SystemEntropy::shared(),
        signing_pops: Arc::new(|pop| pop == POP),
        home_pops: None,
    })
    .await
    .map_err(fault)?;
    for key in store.published() {
        feed.publish(media_key(key)).await.map_err(fault)?;
    }
    let keys = TokenKeySet {
        jwks_json: JWKS.to_owned(),
    };
    feed.publish(Change::TokenKeySet(keys))
        .await
        .map_err(fault)?;
    Ok(feed)
}

fn media_key(key: MediaKeyMaterial) -> Change {
    Change::MediaKey(MediaKey {
        key_id: key.key_id,
        algorithm: key.algorithm.as_str().to_owned(),
        key: key.key.into(),
        not_before_s: key.not_before_s,
        not_after_s: key.not_after_s,
    })
}

fn write_pops(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(
        folder.join("regions.toml"),
        format!("[[region]]\nid = \"{REGION}\"\ncode = \"ng\"\ncountry = \"NG\"\n"),
    )?;
    std::fs::write(
        folder.join(format!("{POP}.toml")),
        format!(
            "id = \"{POP}\"\nname = \"Lagos\"\ncountry = \"NG\"\nlatitude = 6.43\nlongitude = 3.42\ntrust = \"own\"\n\
             region = \"{REGION}\"\nbase_urls = [\"https://{POP}.example\"]\nfallback_rank = 10\n"
        ),
    )
}

/// What the media origin says of a segment, of the size that the path names.
async fn serve(State(bytes): State<Arc<Bytes>>, request: Request) -> Response {
    let Some(size) = sized::size_in(request.uri().path()) else {
        return axum::http::StatusCode::NOT_FOUND.into_response();
    };
    let head = Response::builder()
        .header("content-type", sized::CONTENT_TYPE)
        .header("content-length", size)
        .header("cache-control", sized::CACHE_CONTROL)
        .header("last-modified", sized::LAST_MODIFIED)
        .header("etag", format!("\"v{size}\""))
        .header("surrogate-key", CONTENT);
    head.body(Body::from(bytes.slice(..size)))
        .unwrap_or_else(|_| axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response())
}
