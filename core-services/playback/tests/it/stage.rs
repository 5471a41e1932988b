//! What the tests have in common: playback over a real content service, keys, stores, PoPs and people.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request};
use http_body_util::BodyExt;
use mcsp_api::events::{Event, MediaSessionRevoked, MediaType, Packaged, RenditionRef, TOPICS};
use mcsp_api::rest::{PlayResponse, UploadMetadata, Visibility};
use mcsp_api::{ContentId, Residency, Role, UserId, ViewerIdentity};
use mcsp_audit::Audit;
use mcsp_auth_edge::{MediaAlgorithm, MediaKeyConfig, MediaKeyStore, MediaKeyring};
use mcsp_core_services_playback::{PlaybackConfig, PlaybackParts, PlaybackService, router};
use mcsp_db::Db;
use mcsp_events::consumer::Handler;
use mcsp_events::{EventsOptions, Position, Record, SharedEventLog, envelope};
use mcsp_identity::{SpiffeId, TRUST_DOMAIN_DEFAULT};
use mcsp_kv::KvOptions;
use mcsp_pop_config::PopSet;
use mcsp_rpc::RpcChannel;
use mcsp_runtime::{Clock, ManualClock, SharedClock, SharedEntropy, SystemClock, SystemEntropy};
use mcsp_svc_content::lifecycle::Facts;
use mcsp_svc_content::{
    ContentConfig, ContentEvents, ContentParts, ContentRecord, ContentService, Moderation,
};
use serde_json::Value;
use tempfile::TempDir;
use tonic::service::Routes;
use tower::ServiceExt;

/// What goes wrong, as parameters of `faulty:`; empty for nothing.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Away {
    pub(crate) content: bool,
    pub(crate) kv: bool,
    pub(crate) log: bool,
}

pub(crate) struct Stage {
    pub(crate) service: PlaybackService,
    pub(crate) log: SharedEventLog,
    pub(crate) clock: Arc<ManualClock>,
    content: ContentService,
    content_db: Db,
    keys: MediaKeyStore,
    entropy: SharedEntropy,
    _dir: TempDir,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(Away::default(), PlaybackConfig::default()).await
    }

    pub(crate) async fn with(away: Away, config: PlaybackConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(SystemClock.now_ms());
        let shared: SharedClock = clock.clone();
        let entropy = SystemEntropy::shared();
        let faulty = |is_away: bool, uri: String| {
            if is_away {
                format!("faulty:{uri}?error_rate=1")
            } else {
                uri
            }
        };

        let uri = format!("redb:{}", dir.path().join("events.redb").display());
        let options = EventsOptions {
            clock: shared.clone(),
            identity: None,
        };
        let log = mcsp_events::open(&uri, options.clone()).await.unwrap();
        for topic in TOPICS {
            log.ensure_topic(topic.name, topic.partitions, Duration::from_secs(86_400))
                .await
                .unwrap();
        }
        let absent = format!("redb:{}", dir.path().join("absent.redb").display());
        let log_used = match away.log {
            true => mcsp_events::open(&faulty(true, absent), options)
                .await
                .unwrap(),
            false => log.clone(),
        };

        let kv_uri = faulty(away.kv, format!("sled:{}", dir.path().join("kv").display()));
        let kv = mcsp_kv::open(
            &kv_uri,
            KvOptions {
                clock: shared.clone(),
                identity: None,
            },
        )
        .await
        .unwrap();

        let content_db = Db::open(&faulty(away.content, "sqlite::memory:".into()))
            .await
            .unwrap();
        let content = ContentService::open(ContentParts {
            audit: Audit::open(content_db.clone(), shared.clone(), entropy.clone())
                .await
                .unwrap(),
            db: content_db.clone(),
            clock: shared.clone(),
            entropy: entropy.clone(),
            config: ContentConfig {
                moderation: Moderation::Off,
            },
        })
        .await
        .unwrap();

        let key_file = dir.path().join("media-keys.json");
        let keys = MediaKeyStore::open(
            key_file,
            "ng".parse().unwrap(),
            MediaKeyConfig::default(),
            shared.clone(),
            entropy.clone(),
        )
        .unwrap();
        let pops = Arc::new(pops());
        let caller = SpiffeId::new(TRUST_DOMAIN_DEFAULT, "ng-lagos", "playback").unwrap();
        let service = PlaybackService::new(PlaybackParts {
            region: pops.region("ng-lagos").unwrap().clone(),
            pops,
            content: RpcChannel::in_process(
                Routes::new(mcsp_svc_content::grpc(content.clone())),
                caller,
            ),
            signer: keys.signer(),
            kv,
            log: log_used,
            clock: shared,
            entropy: entropy.clone(),
            config,
        });
        Self {
            service,
            log,
            clock,
            content,
            content_db,
            keys,
            entropy,
            _dir: dir,
        }
    }

    pub(crate) fn person(&self, role: Role) -> ViewerIdentity {
        ViewerIdentity {
            user_id: UserId::generate("ng".parse().unwrap(), &*self.clock, &*self.entropy),
            role,
            session_id: "s1".into(),
            organisation_id: None,
            expires_s: i64::MAX,
        }
    }

    pub(crate) async fn draft(
        &self,
        owner: &ViewerIdentity,
        visibility: Visibility,
        residency: Residency,
    ) -> ContentId {
        let content_id = ContentId::generate("ng".parse().unwrap(), &*self.clock, &*self.entropy);
        let record = ContentRecord {
            content_id: content_id.clone(),
            owner_id: owner.user_id.clone(),
            organisation_id: None,
            residency,
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
        };
        self.content.create_draft(record).await.unwrap();
        content_id
    }

    pub(crate) async fn published(
        &self,
        owner: &ViewerIdentity,
        visibility: Visibility,
        residency: Residency,
    ) -> ContentId {
        let id = self.draft(owner, visibility, residency).await;
        let event = Packaged {
            content_id: id.clone(),
            residency,
            media_type: MediaType::Video,
            renditions: vec![RenditionRef {
                rendition_id: "v360".into(),
                bandwidth_bps: 1,
                height: 360,
            }],
            last: true,
            duration_ms: 30_000,
        };
        let new = envelope::encode(&event, "test", &*self.clock, &*self.entropy).unwrap();
        let record = Record {
            position: Position {
                topic: new.topic,
                partition: 0,
                offset: 0,
            },
            timestamp_ms: self.clock.now_ms(),
            key: new.key,
            value: new.value,
            headers: new.headers,
        };
        let mut tx = self.content_db.begin().await.unwrap();
        ContentEvents::new(self.content.clone())
            .handle(&record, &mut tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        id
    }

    pub(crate) async fn delete(&self, id: &ContentId, owner: &ViewerIdentity) {
        self.content.delete(id, owner).await.unwrap();
    }

    /// Asks as the edge `pop` does for `viewer`, who is in `country`.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        pop: &str,
        country: Option<&str>,
        viewer: Option<&ViewerIdentity>,
    ) -> (u16, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("x-mcsp-public-base", format!("https://{pop}.example:9999"));
        if let Some(country) = country {
            request = request.header("x-mcsp-country", country);
        }
        let request =
            mcsp_rpc::testing::as_edge(request.body(Body::empty()).unwrap(), pop, viewer).unwrap();
        let response = router(self.service.clone()).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }

    /// Plays through `pop` and expects that it works.
    pub(crate) async fn play(
        &self,
        id: &ContentId,
        pop: &str,
        viewer: &ViewerIdentity,
    ) -> PlayResponse {
        let (status, body) = self
            .ask(
                Method::GET,
                &format!("/api/v1/play/{id}"),
                pop,
                None,
                Some(viewer),
            )
            .await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_value(body).unwrap()
    }

    /// The keys that nodes of this kind hold.
    pub(crate) fn keyring(&self, algorithms: &[MediaAlgorithm]) -> MediaKeyring {
        let ring = MediaKeyring::new(self.clock.clone());
        for material in self.keys.published() {
            if algorithms.contains(&material.algorithm) {
                ring.upsert(material).unwrap();
            }
        }
        ring
    }

    /// Every revocation in the log.
    pub(crate) async fn revoked(&self) -> Vec<MediaSessionRevoked> {
        let topic = MediaSessionRevoked::TOPIC;
        let mut events = Vec::new();
        for partition in 0..topic.partitions {
            for record in self
                .log
                .read(topic.name, partition, 0, 1000, Duration::ZERO)
                .await
                .unwrap()
            {
                events.push(
                    envelope::decode::<MediaSessionRevoked>(&record)
                        .unwrap()
                        .payload,
                );
            }
        }
        events
    }
}

fn pops() -> PopSet {
    let regions = "[[region]]\nid = \"ng-lagos\"\ncode = \"ng\"\ncountry = \"NG\"\n\
                   [[region]]\nid = \"global-london\"\ncode = \"gl\"\ncountry = \"GB\"\n";
    let pop = |id: &str, country: &str, trust: &str, latitude: f64, longitude: f64| {
        let region = if id == "lhr1" {
            "global-london"
        } else {
            "ng-lagos"
        };
        format!(
            "id = {id:?}\nname = {id:?}\ncountry = {country:?}\nlatitude = {latitude:?}\nlongitude = {longitude:?}\n\
             trust = {trust:?}\nregion = {region:?}\nbase_urls = [\"https://{id}.example:8443\"]\n"
        )
    };
    let texts = [
        ("abv1", pop("abv1", "NG", "partner", 9.06, 7.49)),
        ("lhr1", pop("lhr1", "GB", "own", 51.47, -0.45)),
        ("los1", pop("los1", "NG", "own", 6.52, 3.38)),
    ];
    PopSet::from_toml(regions, texts.iter().map(|(id, text)| (*id, text.as_str()))).unwrap()
}
