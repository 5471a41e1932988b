//! What the tests have in common: the service on its own database, people, events.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use http_body_util::BodyExt;
use mcsp_api::events::{Event, MediaType, Packaged, RenditionRef, TOPICS};
use mcsp_api::rest::{UploadMetadata, Visibility};
use mcsp_api::{ContentId, RegionCode, Residency, Role, UserId, ViewerIdentity};
use mcsp_audit::Audit;
use mcsp_core_services_content::lifecycle::Facts;
use mcsp_core_services_content::{
    ContentConfig, ContentEvents, ContentParts, ContentRecord, ContentService, Moderation, router,
};
use mcsp_db::Db;
use mcsp_events::consumer::{HandleError, Handler};
use mcsp_events::outbox::OutboxRelay;
use mcsp_events::{EventsOptions, Position, Record, SharedEventLog, envelope};
use mcsp_runtime::{ManualClock, SharedClock, SharedEntropy, SystemEntropy};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

pub(crate) const NOW_MS: i64 = 1_800_000_000_000;

pub(crate) struct Stage {
    pub(crate) service: ContentService,
    pub(crate) audit: Audit,
    pub(crate) db: Db,
    pub(crate) log: SharedEventLog,
    pub(crate) clock: std::sync::Arc<ManualClock>,
    entropy: SharedEntropy,
    _dir: TempDir,
}

impl Stage {
    pub(crate) async fn new(moderation: Moderation) -> Self {
        Self::with_audit(moderation, "sqlite::memory:").await
    }

    pub(crate) async fn with_audit(moderation: Moderation, audit_uri: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(NOW_MS);
        let shared: SharedClock = clock.clone();
        let entropy = SystemEntropy::shared();
        let db = Db::open("sqlite::memory:").await.unwrap();
        let audit_db = Db::open(audit_uri).await.unwrap();
        let audit = Audit::open(audit_db, shared.clone(), entropy.clone())
            .await
            .unwrap();
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
        let parts = ContentParts {
            db: db.clone(),
            audit: audit.clone(),
            clock: shared,
            entropy: entropy.clone(),
            config: ContentConfig { moderation },
        };
        let service = ContentService::open(parts).await.unwrap();
        Self {
            service,
            audit,
            db,
            log,
            clock,
            entropy,
            _dir: dir,
        }
    }

    pub(crate) fn router(&self) -> Router {
        router(self.service.clone())
    }

    pub(crate) fn person(&self, role: Role) -> ViewerIdentity {
        ViewerIdentity {
            user_id: UserId::generate(region(), &*self.clock, &*self.entropy),
            role,
            session_id: "s1".into(),
            organisation_id: None,
            expires_s: i64::MAX,
        }
    }

    /// A draft of `owner`'s.
    pub(crate) async fn draft(&self, owner: &ViewerIdentity, visibility: Visibility) -> ContentId {
        let record = self.new_record(owner, visibility);
        let id = record.content_id.clone();
        self.service.create_draft(record).await.unwrap();
        id
    }

    pub(crate) fn new_record(
        &self,
        owner: &ViewerIdentity,
        visibility: Visibility,
    ) -> ContentRecord {
        ContentRecord {
            content_id: ContentId::generate(region(), &*self.clock, &*self.entropy),
            owner_id: owner.user_id.clone(),
            organisation_id: None,
            residency: Residency::Global,
            media_type: MediaType::Video,
            metadata: UploadMetadata {
                title: "A film".into(),
                visibility,
                ..UploadMetadata::default()
            },
            facts: Facts::default(),
            status_reason: None,
            duration_ms: 0,
            renditions: Vec::new(),
            complete: false,
            thumbnails: Vec::new(),
            created_ms: 0,
        }
    }

    /// A published item of `owner`'s; the moderation gate must be off.
    pub(crate) async fn published(
        &self,
        owner: &ViewerIdentity,
        visibility: Visibility,
    ) -> ContentId {
        let id = self.draft(owner, visibility).await;
        self.hear(&packaged(&id, &["v360"], false)).await.unwrap();
        id
    }

    /// An event as it comes from the log.
    pub(crate) fn record<E: Event>(&self, event: &E) -> Record {
        let new = envelope::encode(event, "test", &*self.clock, &*self.entropy).unwrap();
        Record {
            position: Position {
                topic: new.topic,
                partition: 0,
                offset: 0,
            },
            timestamp_ms: mcsp_runtime::Clock::now_ms(&*self.clock),
            key: new.key,
            value: new.value,
            headers: new.headers,
        }
    }

    /// Lets the service act on an event, in a transaction, without the consumer's memory of known ids.
    pub(crate) async fn hear<E: Event>(&self, event: &E) -> Result<(), HandleError> {
        let mut tx = self.db.begin().await.unwrap();
        let outcome = ContentEvents::new(self.service.clone())
            .handle(&self.record(event), &mut tx)
            .await;
        if outcome.is_ok() {
            tx.commit().await.unwrap();
        }
        outcome
    }

    /// Every event of a kind that the service has told the log so far.
    pub(crate) async fn told<E: Event>(&self) -> Vec<E> {
        let relay = OutboxRelay::new(self.db.clone(), self.log.clone(), "content");
        while relay.step().await.unwrap() > 0 {}
        let mut events = Vec::new();
        for partition in 0..E::TOPIC.partitions {
            for record in self
                .log
                .read(E::TOPIC.name, partition, 0, 1000, Duration::ZERO)
                .await
                .unwrap()
            {
                events.push(envelope::decode::<E>(&record).unwrap().payload);
            }
        }
        events
    }

    /// Asks as an edge does for `viewer`.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        viewer: Option<&ViewerIdentity>,
        body: Option<Value>,
    ) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Body::empty, |json| Body::from(json.to_string()));
        let request =
            mcsp_rpc::testing::as_edge(request.body(body).unwrap(), "lhr1", viewer).unwrap();
        let response = self.router().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }
}

pub(crate) fn region() -> RegionCode {
    "gl".parse().unwrap()
}

pub(crate) fn packaged(id: &ContentId, renditions: &[&str], last: bool) -> Packaged {
    Packaged {
        content_id: id.clone(),
        residency: Residency::Global,
        media_type: MediaType::Video,
        renditions: renditions
            .iter()
            .map(|id| RenditionRef {
                rendition_id: (*id).to_owned(),
                bandwidth_bps: id[1..].parse::<u64>().unwrap() * 1_000,
                height: 0,
            })
            .collect(),
        last,
        duration_ms: 30_000,
    }
}
