//! What the tests have in common: a region with upload, content and object storage, people, files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use mcsp_api::events::{TOPICS, UploadInitiated};
use mcsp_api::rest::{UploadPart, UploadSession};
use mcsp_api::{Role, UserId, ViewerIdentity};
use mcsp_audit::Audit;
use mcsp_core_services_upload::{
    ResidencyObjects, UploadConfig, UploadParts, UploadService, grpc, router,
};
use mcsp_db::Db;
use mcsp_events::outbox::OutboxRelay;
use mcsp_events::{EventsOptions, SharedEventLog, envelope};
use mcsp_geo::residency::{Policy, PolicyEngine};
use mcsp_identity::{CallerTable, SpiffeId, TRUST_DOMAIN_DEFAULT};
use mcsp_objects::{
    Account, Accounts, Faults, FaultyObjects, FileEngine, S3Endpoint, Secret, SharedObjects,
};
use mcsp_pop_config::PopSet;
use mcsp_rpc::RpcChannel;
use mcsp_runtime::{Clock, ManualClock, SharedClock, SharedEntropy, SystemClock, SystemEntropy};
use mcsp_svc_content::{ContentConfig, ContentParts, ContentService};
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::service::Routes;
use tower::ServiceExt;

pub(crate) const NG: &str = "mcsp-ng";
pub(crate) const GLOBAL: &str = "mcsp-global";
pub(crate) const MIB: usize = 1024 * 1024;
pub(crate) const SESSIONS: &str = "/api/v1/uploads/session";

/// What a region is made of, beside what is always the same.
pub(crate) struct Make {
    pub(crate) region: &'static str,
    pub(crate) db_uri: String,
    pub(crate) audit_uri: String,
    pub(crate) policy: Policy,
    pub(crate) config: UploadConfig,
    pub(crate) peers: BTreeMap<String, RpcChannel>,
    pub(crate) faults: Option<Faults>,
}

impl Make {
    pub(crate) fn region(region: &'static str) -> Self {
        Self {
            region,
            db_uri: "sqlite::memory:".into(),
            audit_uri: "sqlite::memory:".into(),
            policy: Policy::default(),
            config: UploadConfig {
                trigger_wait_ms: 0,
                ..UploadConfig::default()
            },
            peers: BTreeMap::new(),
            faults: None,
        }
    }
}

/// One region's upload and content services over its own object storage.
pub(crate) struct Stage {
    pub(crate) region: &'static str,
    pub(crate) service: UploadService,
    pub(crate) content: ContentService,
    pub(crate) audit: Audit,
    pub(crate) db: Db,
    pub(crate) log: SharedEventLog,
    pub(crate) endpoint: S3Endpoint,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) entropy: SharedEntropy,
    _dir: TempDir,
}

impl Stage {
    pub(crate) async fn lagos() -> Self {
        Self::make(Make::region("ng-lagos")).await
    }

    pub(crate) async fn make(make: Make) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(SystemClock.now_ms());
        let shared: SharedClock = clock.clone();
        let entropy = SystemEntropy::shared();
        let pops = Arc::new(pops());
        let region = pops.region(make.region).unwrap().clone();

        let engine = FileEngine::open(&dir.path().join("objects"), shared.clone(), entropy.clone())
            .await
            .unwrap();
        engine.create_bucket(GLOBAL).await.unwrap();
        let in_nigeria = make.region == "ng-lagos";
        if in_nigeria {
            engine.create_bucket(NG).await.unwrap();
        }
        let endpoint = S3Endpoint::new(engine.clone(), accounts());
        let client = |account: &str| -> SharedObjects {
            let client = endpoint.in_process_client(account, &secret());
            match make.faults {
                Some(faults) => Arc::new(FaultyObjects::new(client, faults)),
                None => client,
            }
        };

        let uri = format!("redb:{}", dir.path().join("events.redb").display());
        let log = mcsp_events::open(
            &uri,
            EventsOptions {
                clock: shared.clone(),
                identity: None,
            },
        )
        .await
        .unwrap();
        for topic in TOPICS {
            log.ensure_topic(topic.name, topic.partitions, Duration::from_secs(86_400))
                .await
                .unwrap();
        }
        let content_db = Db::open("sqlite::memory:").await.unwrap();
        let content = ContentService::open(ContentParts {
            audit: Audit::open(content_db.clone(), shared.clone(), entropy.clone())
                .await
                .unwrap(),
            db: content_db,
            clock: shared.clone(),
            entropy: entropy.clone(),
            config: ContentConfig::default(),
        })
        .await
        .unwrap();

        let audit_db = Db::open(&make.audit_uri).await.unwrap();
        let audit = Audit::open(audit_db, shared.clone(), entropy.clone())
            .await
            .unwrap();
        let db = Db::open(&make.db_uri).await.unwrap();
        let routes = Routes::new(mcsp_svc_content::grpc(content.clone()));
        let service = UploadService::open(UploadParts {
            region,
            pops,
            db: db.clone(),
            audit: audit.clone(),
            objects: ResidencyObjects {
                ng: in_nigeria.then(|| client("ng-writer")),
                global: client("global-writer"),
            },
            policy: Arc::new(PolicyEngine::new(make.policy, shared.clone()).unwrap()),
            content: RpcChannel::in_process(routes, caller(make.region)),
            peers: make.peers,
            clock: shared,
            entropy: entropy.clone(),
            config: make.config,
        })
        .await
        .unwrap();
        Self {
            region: make.region,
            service,
            content,
            audit,
            db,
            log,
            endpoint,
            clock,
            entropy,
            _dir: dir,
        }
    }

    /// The way in for the upload service of `from`.
    pub(crate) fn channel_for(&self, from: &str) -> RpcChannel {
        let routes = Routes::new(grpc(self.service.clone()));
        RpcChannel::in_process_with(
            routes,
            caller(from),
            self.region,
            CallerTable::embedded().unwrap(),
        )
    }

    pub(crate) fn person(&self, role: Role) -> ViewerIdentity {
        ViewerIdentity {
            user_id: UserId::generate("gl".parse().unwrap(), &*self.clock, &*self.entropy),
            role,
            session_id: "s1".into(),
            organisation_id: None,
            expires_s: i64::MAX,
        }
    }

    /// Asks as the edge `pop` does for `viewer`.
    pub(crate) async fn ask(&self, call: Call<'_>) -> (u16, Value) {
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.path)
            .header(
                "x-mcsp-public-base",
                format!("https://{}.example:9999", call.pop),
            );
        if call.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(key) = call.key {
            request = request.header("idempotency-key", key);
        }
        let body = call
            .body
            .map_or_else(Body::empty, |json| Body::from(json.to_string()));
        let request =
            mcsp_rpc::testing::as_edge(request.body(body).unwrap(), call.pop, call.viewer).unwrap();
        let response = router(self.service.clone()).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }

    /// Opens a session for a file of this size, through `los1`.
    pub(crate) async fn open(&self, viewer: &ViewerIdentity, size_bytes: usize) -> UploadSession {
        let call = Call::post(SESSIONS).by(viewer).with(request(size_bytes));
        let (status, body) = self.ask(call).await;
        assert_eq!(status, 201, "{body}");
        serde_json::from_value(body).unwrap()
    }

    pub(crate) async fn state(&self, viewer: &ViewerIdentity, upload_id: &str) -> UploadSession {
        let (status, body) = self
            .ask(Call::get(&format!("{SESSIONS}/{upload_id}")).by(viewer))
            .await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_value(body).unwrap()
    }

    pub(crate) async fn complete(&self, viewer: &ViewerIdentity, upload_id: &str) -> (u16, Value) {
        self.ask(Call::post(&format!("{SESSIONS}/{upload_id}/complete")).by(viewer))
            .await
    }

    /// PUTs bytes to a part's URL as the edge passes them on: without `/storage`, with the client's `Host`.
    pub(crate) async fn put(&self, part: &UploadPart, bytes: Bytes) -> StatusCode {
        let url: http::Uri = part.url.as_deref().unwrap().parse().unwrap();
        let path = url
            .path_and_query()
            .unwrap()
            .as_str()
            .strip_prefix("/storage")
            .unwrap();
        let request = Request::put(path)
            .header(HOST, url.authority().unwrap().as_str())
            .header(CONTENT_LENGTH, bytes.len())
            .body(Body::from(bytes))
            .unwrap();
        self.endpoint
            .router()
            .oneshot(request)
            .await
            .unwrap()
            .status()
    }

    /// PUTs every part that is not received.
    pub(crate) async fn put_all(&self, session: &UploadSession) {
        for part in session.parts.iter().filter(|part| !part.received) {
            let bytes = Bytes::from(vec![7; usize::try_from(part.size_bytes).unwrap()]);
            assert_eq!(self.put(part, bytes).await, StatusCode::OK);
        }
    }

    /// Every start of the pipeline that was told so far.
    pub(crate) async fn told(&self) -> Vec<UploadInitiated> {
        let relay = OutboxRelay::new(self.db.clone(), self.log.clone(), "upload");
        while relay.step().await.unwrap() > 0 {}
        self.log_has().await
    }

    pub(crate) async fn log_has(&self) -> Vec<UploadInitiated> {
        let topic = <UploadInitiated as mcsp_api::events::Event>::TOPIC;
        let mut events = Vec::new();
        for partition in 0..topic.partitions {
            for record in self
                .log
                .read(topic.name, partition, 0, 1000, Duration::ZERO)
                .await
                .unwrap()
            {
                events.push(
                    envelope::decode::<UploadInitiated>(&record)
                        .unwrap()
                        .payload,
                );
            }
        }
        events
    }

    /// How large an object is, by a client that may see everything of its bucket.
    pub(crate) async fn stored(&self, bucket: &str, key: &str) -> Option<u64> {
        let account = if bucket == NG {
            "ng-writer"
        } else {
            "global-writer"
        };
        let client = self.endpoint.in_process_client(account, &secret());
        client
            .head(bucket, key)
            .await
            .ok()
            .map(|meta| meta.size_bytes)
    }

    /// How many objects a bucket has.
    pub(crate) async fn objects_in(&self, bucket: &str) -> usize {
        let account = if bucket == NG {
            "ng-writer"
        } else {
            "global-writer"
        };
        let client = self.endpoint.in_process_client(account, &secret());
        client.list(bucket, "", None).await.unwrap().objects.len()
    }
}

/// A request as a test writes it down.
pub(crate) struct Call<'a> {
    method: Method,
    path: &'a str,
    pop: &'a str,
    viewer: Option<&'a ViewerIdentity>,
    key: Option<&'a str>,
    body: Option<Value>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, path: &'a str) -> Self {
        Self {
            method,
            path,
            pop: "los1",
            viewer: None,
            key: None,
            body: None,
        }
    }

    pub(crate) fn get(path: &'a str) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: &'a str) -> Self {
        Self::new(Method::POST, path)
    }

    pub(crate) fn delete(path: &'a str) -> Self {
        Self::new(Method::DELETE, path)
    }

    pub(crate) fn by(mut self, viewer: &'a ViewerIdentity) -> Self {
        self.viewer = Some(viewer);
        self
    }

    pub(crate) fn through(mut self, pop: &'a str) -> Self {
        self.pop = pop;
        self
    }

    pub(crate) fn keyed(mut self, key: &'a str) -> Self {
        self.key = Some(key);
        self
    }

    pub(crate) fn with(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }
}

pub(crate) fn request(size_bytes: usize) -> Value {
    json!({
        "file_name": "film.mp4",
        "size_bytes": size_bytes,
        "media_type": "VIDEO",
        "metadata": {"title": "A film"},
    })
}

fn caller(region: &str) -> SpiffeId {
    SpiffeId::new(TRUST_DOMAIN_DEFAULT, region, "upload").unwrap()
}

pub(crate) fn secret() -> Secret {
    Secret::new("a secret for tests only")
}

fn accounts() -> Accounts {
    Accounts::new([
        Account::writer("ng-writer", secret(), NG, &[GLOBAL]),
        Account::writer("global-writer", secret(), GLOBAL, &[NG]),
    ])
    .unwrap()
}

fn pops() -> PopSet {
    let regions = "[[region]]\nid = \"ng-lagos\"\ncode = \"ng\"\ncountry = \"NG\"\n\
                   [[region]]\nid = \"global-london\"\ncode = \"gl\"\ncountry = \"GB\"\n";
    let pop = |id: &str, country: &str, latitude: f64, longitude: f64, region: &str| {
        format!(
            "id = {id:?}\nname = {id:?}\ncountry = {country:?}\nlatitude = {latitude:?}\nlongitude = {longitude:?}\n\
             trust = \"own\"\nregion = {region:?}\nbase_urls = [\"https://{id}.example:8443\"]\n"
        )
    };
    let texts = [
        ("abv1", pop("abv1", "NG", 9.06, 7.49, "ng-lagos")),
        ("lhr1", pop("lhr1", "GB", 51.47, -0.45, "global-london")),
        ("los1", pop("los1", "NG", 6.52, 3.38, "ng-lagos")),
    ];
    PopSet::from_toml(regions, texts.iter().map(|(id, text)| (*id, text.as_str()))).unwrap()
}

pub(crate) fn detail_of(record: &mcsp_audit::AuditRecord) -> Value {
    serde_json::from_str(&record.detail_json).unwrap()
}
