//! A region without its services: log, objects, database, and uploads that appear in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use mcsp_api::events::{Event, MediaType, Packaged, TOPICS, UploadInitiated};
use mcsp_api::{ContentId, RegionCode, Residency, UploadId, UserId};
use mcsp_db::Db;
use mcsp_events::{Record, RedbLog, SharedEventLog, envelope};
use mcsp_media_pipeline::{
    Encoder, ItemStore, Pipeline, PipelineConfig, PipelineError, PipelineParts, RetryConfig,
    Scratch, Stores,
};
use mcsp_objects::{Account, Accounts, FileEngine, ObjectStore, S3Endpoint, Secret};
use mcsp_runtime::{ShutdownTrigger, SystemClock, SystemEntropy};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use uuid::Uuid;

pub(crate) const NG: &str = "mcsp-ng";
pub(crate) const GLOBAL: &str = "mcsp-global";
/// How long a test waits for a state before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) log: SharedEventLog,
    pub(crate) engine: FileEngine,
    endpoint: S3Endpoint,
    code: RegionCode,
}

/// A pipeline that runs.
pub(crate) struct Running {
    trigger: ShutdownTrigger,
    task: JoinHandle<Result<(), PipelineError>>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.trigger.trigger();
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("the pipeline stops")
            .unwrap()
            .unwrap();
    }
}

fn secret() -> Secret {
    Secret::new("a secret for tests only")
}

pub(crate) fn bucket(residency: Residency) -> &'static str {
    match residency {
        Residency::Ng => NG,
        Residency::Global => GLOBAL,
    }
}

impl World {
    /// The region with this code.
    pub(crate) async fn new(code: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = SystemClock::shared();
        let log = RedbLog::open(&dir.path().join("events.redb"), clock.clone()).unwrap();
        for topic in TOPICS {
            let kept = DAY * topic.retention_days;
            // Few partitions, so that items share them.
            mcsp_events::EventLog::ensure_topic(&log, topic.name, 3, kept)
                .await
                .unwrap();
        }
        let objects = dir.path().join("objects");
        let engine = FileEngine::open(&objects, clock, SystemEntropy::shared())
            .await
            .unwrap();
        engine.create_bucket(NG).await.unwrap();
        engine.create_bucket(GLOBAL).await.unwrap();
        let accounts = Accounts::new([
            Account::writer("worker-ng", secret(), NG, &[GLOBAL]),
            Account::writer("worker-global", secret(), GLOBAL, &[NG]),
        ]);
        let endpoint = S3Endpoint::new(engine.clone(), accounts.unwrap());
        Self {
            dir,
            log: Arc::new(log),
            engine,
            endpoint,
            code: code.parse().unwrap(),
        }
    }

    /// The way to a bucket with the account that is only for it.
    pub(crate) fn store(&self, residency: Residency) -> ItemStore {
        let account = match residency {
            Residency::Ng => "worker-ng",
            Residency::Global => "worker-global",
        };
        ItemStore {
            objects: self.endpoint.in_process_client(account, &secret()),
            bucket: bucket(residency).to_owned(),
        }
    }

    pub(crate) fn stores(&self, has_ng: bool) -> Stores {
        let ng = has_ng.then(|| self.store(Residency::Ng));
        Stores::new(self.store(Residency::Global), ng)
    }

    pub(crate) async fn db(&self) -> Db {
        let path = self.dir.path().join("media.db");
        Db::open(&format!("sqlite:{}", path.display()))
            .await
            .unwrap()
    }

    /// What a worker of this region is made of.
    pub(crate) async fn parts(&self, encoder: Arc<dyn Encoder>) -> PipelineParts {
        PipelineParts {
            region: self.code,
            member: "worker-1".to_owned(),
            log: Arc::clone(&self.log),
            db: self.db().await,
            stores: self.stores(self.code.as_str() == "ng"),
            encoder,
            scratch: Scratch::open(&self.dir.path().join("scratch"), 1 << 30).unwrap(),
            clock: SystemClock::shared(),
            entropy: SystemEntropy::shared(),
        }
    }

    pub(crate) async fn start(&self, encoder: Arc<dyn Encoder>) -> Running {
        run(self.parts(encoder).await).await
    }

    /// An upload that is complete: the object is there, the event told.
    pub(crate) async fn upload(&self, residency: Residency, body: &[u8]) -> ContentId {
        let id = ContentId::generate(self.code, &SystemClock, &SystemEntropy);
        self.upload_as(&id, residency, body).await;
        id
    }

    pub(crate) async fn upload_as(&self, id: &ContentId, residency: Residency, body: &[u8]) {
        let key = format!("{}/{id}/source/original", residency.prefix());
        let body = Bytes::copy_from_slice(body);
        let stored = self
            .engine
            .put(bucket(residency), &key, "video/mp4", body.clone())
            .await;
        stored.unwrap();
        self.tell(&UploadInitiated {
            content_id: id.clone(),
            upload_id: UploadId::generate(self.code, &SystemClock, &SystemEntropy),
            owner_id: UserId::generate(self.code, &SystemClock, &SystemEntropy),
            organisation_id: None,
            residency,
            media_type: MediaType::Video,
            size_bytes: body.len() as u64,
        })
        .await;
    }

    pub(crate) async fn tell<E: Event>(&self, event: &E) {
        let record = envelope::encode(event, "upload", &SystemClock, &SystemEntropy).unwrap();
        self.log.append(vec![record]).await.unwrap();
    }

    pub(crate) async fn records(&self, topic: &str) -> Vec<Record> {
        let Ok(partitions) = self.log.describe(topic).await else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for partition in 0..u32::try_from(partitions.len()).unwrap() {
            all.extend(
                self.log
                    .read(topic, partition, 0, 1000, Duration::ZERO)
                    .await
                    .unwrap(),
            );
        }
        all
    }

    /// Every event of a kind, each once however often it was delivered, in order within a key.
    pub(crate) async fn events<E: Event>(&self) -> Vec<E> {
        let mut known = BTreeSet::<Uuid>::new();
        let records = self.records(E::TOPIC.name).await;
        let decoded = records
            .iter()
            .map(|record| envelope::decode::<E>(record).unwrap());
        decoded
            .filter(|envelope| known.insert(envelope.event_id))
            .map(|envelope| envelope.payload)
            .collect()
    }

    /// The groups that gave records of this topic up.
    pub(crate) async fn dead_letters(&self, topic: &str) -> Vec<String> {
        let letters = self.records(&format!("{topic}.dlq")).await;
        letters
            .iter()
            .map(|letter| letter.headers["mcsp-group"].clone())
            .collect()
    }

    pub(crate) async fn packaged(&self, id: &ContentId) -> Vec<Packaged> {
        let mut events = self.events::<Packaged>().await;
        events.retain(|event| event.content_id == *id);
        events
    }

    /// Waits until the item is packaged and nothing more will come.
    pub(crate) async fn all_packaged(&self, id: &ContentId) -> Packaged {
        eventually("the last rendition is packaged", async || {
            self.packaged(id).await.iter().any(|event| event.last)
        })
        .await;
        self.packaged(id)
            .await
            .into_iter()
            .find(|event| event.last)
            .unwrap()
    }

    /// Every object of the item but its source: name inside the item → bytes.
    pub(crate) async fn objects(
        &self,
        residency: Residency,
        id: &ContentId,
    ) -> BTreeMap<String, Bytes> {
        let prefix = format!("{}/{id}/", residency.prefix());
        let bucket = bucket(residency);
        let page = self.engine.list(bucket, &prefix, None).await.unwrap();
        let mut found = BTreeMap::new();
        for object in page.objects {
            let name = object.key.strip_prefix(&prefix).unwrap().to_owned();
            if name == "source/original" {
                continue;
            }
            let mut body = self.engine.get(bucket, &object.key, None).await.unwrap();
            let mut bytes = Vec::new();
            while let Some(chunk) = body.stream.next().await {
                bytes.extend_from_slice(&chunk.unwrap());
            }
            found.insert(name, Bytes::from(bytes));
        }
        found
    }

    /// The names of all objects in a bucket.
    pub(crate) async fn names(&self, bucket: &str) -> Vec<String> {
        let page = self.engine.list(bucket, "", None).await.unwrap();
        page.objects.into_iter().map(|object| object.key).collect()
    }
}

pub(crate) fn config() -> PipelineConfig {
    PipelineConfig {
        retry: RetryConfig {
            tries: 3,
            base_ms: 1,
            max_ms: 5,
        },
        ..PipelineConfig::default()
    }
}

pub(crate) async fn run(parts: PipelineParts) -> Running {
    let (trigger, shutdown) = ShutdownTrigger::new();
    let pipeline = Pipeline::new(parts, config()).await.unwrap();
    Running {
        trigger,
        task: tokio::spawn(pipeline.run(shutdown, 1_000)),
    }
}

/// Waits until `state` holds; fails the test when that takes too long.
pub(crate) async fn eventually(what: &str, state: impl AsyncFn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !state().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "never came true: {what}");
}
