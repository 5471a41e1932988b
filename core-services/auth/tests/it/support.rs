//! A region's auth service in a temporary folder, and an edge in front of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use mcsp_api::ViewerIdentity;
use mcsp_auth_edge::{TokenPolicy, TokenVerifier};
use mcsp_core_services_auth::{AuthConfig, AuthParts, AuthService, router};
use mcsp_db::Db;
use mcsp_kv::{KvOptions, SharedKv};
use mcsp_rpc::testing::as_edge;
use mcsp_rpc::{RequestClock, RpcChannel};
use mcsp_runtime::{ManualClock, SystemEntropy};
use serde_json::{Value, json};
use sqlx::Row as _;
use tempfile::TempDir;
use tower::ServiceExt as _;

pub(crate) const REGION: &str = "ng-lagos";
pub(crate) const NOW_MS: i64 = 1_795_000_000_000;
pub(crate) const EMAIL: &str = "Ada@example.com";
pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) struct World {
    pub(crate) service: AuthService,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) db: Db,
    pub(crate) kv: SharedKv,
    pub(crate) folder: TempDir,
    region: &'static str,
    router: Router,
}

/// An answer, read in full.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn access_token(&self) -> &str {
        self.body["access_token"].as_str().expect("an access token")
    }

    /// The whole `Set-Cookie` line.
    pub(crate) fn set_cookie(&self) -> Option<&str> {
        self.headers
            .get(SET_COOKIE)
            .map(|value| value.to_str().expect("ASCII"))
    }

    /// The refresh token in it.
    pub(crate) fn refresh_token(&self) -> String {
        let line = self.set_cookie().expect("a cookie");
        let value = line
            .strip_prefix("mcsp_refresh=")
            .expect("the refresh cookie");
        value.split(';').next().expect("a value").to_owned()
    }
}

/// The least work that the configuration allows.
pub(crate) fn config() -> AuthConfig {
    AuthConfig {
        password_memory_kib: 8192,
        password_passes: 1,
        password_wait_ms: 60_000,
        ..AuthConfig::default()
    }
}

pub(crate) async fn world() -> World {
    world_with(config(), "").await
}

/// `kv_faults`: the parameters of `faulty:`, or nothing for a sound store.
pub(crate) async fn world_with(config: AuthConfig, kv_faults: &str) -> World {
    world_of(REGION, config, kv_faults).await
}

/// A region that knows no other yet.
pub(crate) async fn world_of(region: &'static str, config: AuthConfig, kv_faults: &str) -> World {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = ManualClock::new(NOW_MS);
    let sled = format!("sled:{}", folder.path().join("kv").display());
    let kv_uri = if kv_faults.is_empty() {
        sled
    } else {
        format!("faulty:{sled}?{kv_faults}")
    };
    let options = KvOptions {
        clock: clock.clone(),
        identity: None,
    };
    let kv = mcsp_kv::open(&kv_uri, options)
        .await
        .expect("a key-value store");
    let db = Db::open(&db_uri(folder.path())).await.expect("a database");
    let service = open_service_of(region, (&db, &kv, &clock), config, BTreeMap::new()).await;
    World {
        router: router(service.clone()),
        service,
        clock,
        db,
        kv,
        folder,
        region,
    }
}

fn db_uri(folder: &Path) -> String {
    format!("sqlite:{}", folder.join("auth.db").display())
}

/// A process of the service in [`REGION`].
pub(crate) async fn open_service(
    db: &Db,
    kv: &SharedKv,
    clock: &Arc<ManualClock>,
    config: AuthConfig,
) -> AuthService {
    open_service_of(REGION, (db, kv, clock), config, BTreeMap::new()).await
}

async fn open_service_of(
    region: &str,
    (db, kv, clock): (&Db, &SharedKv, &Arc<ManualClock>),
    config: AuthConfig,
    peers: BTreeMap<String, RpcChannel>,
) -> AuthService {
    let parts = AuthParts {
        db: db.clone(),
        kv: kv.clone(),
        clock: clock.clone(),
        entropy: SystemEntropy::shared(),
        region: region.to_owned(),
        region_code: region[..2].parse().expect("a code"),
        peers,
        config,
    };
    AuthService::open(parts).await.expect("a service")
}

impl World {
    /// Another process of the service over the same stores.
    pub(crate) async fn again(&self, config: AuthConfig) -> AuthService {
        let stores = (&self.db, &self.kv, &self.clock);
        open_service_of(self.region, stores, config, BTreeMap::new()).await
    }

    /// The region's people are served by a process that can ask these regions from now on.
    pub(crate) async fn knows(&mut self, config: AuthConfig, peers: BTreeMap<String, RpcChannel>) {
        let stores = (&self.db, &self.kv, &self.clock);
        self.service = open_service_of(self.region, stores, config, peers).await;
        self.router = router(self.service.clone());
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a body").to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        }
    }

    /// A request as the edge `los1` passes it on, for this viewer or for nobody.
    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
        viewer: Option<&ViewerIdentity>,
    ) -> Request<Body> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .expect("a request");
        let mut request = as_edge(request, "los1", viewer).expect("an edge");
        request
            .extensions_mut()
            .insert(RequestClock(self.clock.clone()));
        request
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, body, &[]).await
    }

    pub(crate) async fn post_with(
        &self,
        path: &str,
        body: &Value,
        headers: &[(&'static str, &str)],
    ) -> Answer {
        let mut request = self.request(Method::POST, path, None);
        *request.body_mut() = Body::from(body.to_string());
        request
            .headers_mut()
            .insert(CONTENT_TYPE, "application/json".parse().expect("a value"));
        for (name, value) in headers {
            request
                .headers_mut()
                .append(*name, value.parse().expect("a value"));
        }
        self.send(request).await
    }

    pub(crate) async fn register(&self) -> Answer {
        let answer = self.post("/api/v1/auth/register", &registration()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{:?}", answer.body);
        answer
    }

    pub(crate) async fn login(&self, email: &str, password: &str) -> Answer {
        self.post(
            "/api/v1/auth/login",
            &json!({ "email": email, "password": password }),
        )
        .await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        let mut request = self.request(Method::POST, "/api/v1/auth/refresh", None);
        let cookie = format!("theme=dark; mcsp_refresh={token}");
        request
            .headers_mut()
            .insert(COOKIE, cookie.parse().expect("a value"));
        self.send(request).await
    }

    pub(crate) async fn me(&self, viewer: &ViewerIdentity) -> Answer {
        self.send(self.request(Method::GET, "/api/v1/users/me", Some(viewer)))
            .await
    }

    pub(crate) async fn logout(&self, viewer: &ViewerIdentity) -> Answer {
        self.send(self.request(Method::POST, "/api/v1/auth/logout", Some(viewer)))
            .await
    }

    pub(crate) async fn jwks(&self) -> Value {
        self.send(self.request(Method::GET, "/.well-known/jwks.json", None))
            .await
            .body
    }

    /// What an edge that knows these keys makes of a token.
    pub(crate) fn viewer_by(&self, jwks: &Value, token: &str) -> Option<ViewerIdentity> {
        let verifier =
            TokenVerifier::new(TokenPolicy::for_regions([self.region]), self.clock.clone());
        verifier
            .set_keys(self.region, &jwks.to_string())
            .expect("a key set that edges take");
        verifier.verify(token).ok()
    }

    /// The viewer of an answer that signed somebody in.
    pub(crate) async fn viewer(&self, answer: &Answer) -> ViewerIdentity {
        self.viewer_by(&self.jwks().await, answer.access_token())
            .expect("a token that edges believe")
    }

    /// The payloads in the outbox of one topic, oldest first.
    pub(crate) async fn events(&self, topic: &str) -> Vec<Value> {
        let mut conn = self.db.acquire().await.expect("a connection");
        let rows = sqlx::query("SELECT value FROM outbox WHERE topic = $1 ORDER BY sequence")
            .bind(topic)
            .fetch_all(conn.conn())
            .await
            .expect("rows");
        rows.iter()
            .map(|row| {
                let bytes: Vec<u8> = row.try_get(0).expect("a value");
                serde_json::from_slice::<Value>(&bytes).expect("an envelope")["payload"].clone()
            })
            .collect()
    }

    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        let mut conn = self.db.acquire().await.expect("a connection");
        let row = sqlx::query(query)
            .fetch_one(conn.conn())
            .await
            .expect("a row");
        row.try_get(0).expect("a number")
    }

    pub(crate) async fn text(&self, query: &'static str) -> String {
        let mut conn = self.db.acquire().await.expect("a connection");
        let row = sqlx::query(query)
            .fetch_one(conn.conn())
            .await
            .expect("a row");
        row.try_get(0).expect("a text")
    }

    /// Every file of the world, the write-ahead log too.
    pub(crate) fn stored_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut folders: Vec<PathBuf> = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    bytes.extend(std::fs::read(path).expect("a file"));
                }
            }
        }
        bytes
    }
}

pub(crate) fn registration() -> Value {
    json!({ "email": EMAIL, "password": PASSWORD, "display_name": "Ada Obi", "role": "creator" })
}

pub(crate) fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}
