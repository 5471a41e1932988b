//! A region with nothing but a log, buckets and a worker.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use mcsp_api::events::{Event, MediaType, TOPICS, UploadInitiated};
use mcsp_api::{ContentId, RegionCode, Residency, UploadId, UserId};
use mcsp_db::Db;
use mcsp_events::envelope::{decode, encode};
use mcsp_events::{EventsOptions, Record, SharedEventLog};
use mcsp_media_pipeline::{Bucket, Buckets, Pipeline, PipelineConfig, PipelineParts};
use mcsp_media_sandbox::Launcher;
use mcsp_media_transcode::{TranscodePolicy, Transcoder};
use mcsp_objects::{FileEngine, SharedObjects};
use mcsp_runtime::{SeededEntropy, SharedEntropy, ShutdownTrigger, SystemClock, SystemEntropy};
use tokio::task::JoinHandle;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Region {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) log: SharedEventLog,
    pub(crate) objects: SharedObjects,
    entropy: SharedEntropy,
}

/// A worker that runs.
pub(crate) struct Worker {
    trigger: ShutdownTrigger,
    task: JoinHandle<()>,
}

impl Worker {
    pub(crate) async fn stop(self) {
        self.trigger.trigger();
        self.task.await.unwrap();
    }

    /// As if the process were killed: nothing is finished, nothing is said.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

impl Region {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = EventsOptions {
            clock: SystemClock::shared(),
            identity: None,
        };
        let uri = format!("redb:{}", dir.path().join("events.redb").display());
        let log = mcsp_events::open(&uri, options).await.unwrap();
        for topic in TOPICS {
            log.ensure_topic(topic.name, topic.partitions, Duration::from_secs(86_400))
                .await
                .unwrap();
        }
        let engine = FileEngine::open(
            &dir.path().join("objects"),
            SystemClock::shared(),
            SystemEntropy::shared(),
        );
        let engine = engine.await.unwrap();
        for bucket in ["mcsp-ng", "mcsp-global"] {
            engine.create_bucket(bucket).await.unwrap();
        }
        Self {
            dir,
            log,
            objects: Arc::new(engine),
            entropy: SeededEntropy::new(7),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) async fn worker(&self, database: &str) -> Worker {
        self.worker_with(database, &self.objects, self.log.clone())
            .await
    }

    pub(crate) async fn worker_with(
        &self,
        database: &str,
        objects: &SharedObjects,
        log: SharedEventLog,
    ) -> Worker {
        let uri = format!("sqlite:{}", self.path(database).display());
        let bucket = |name: &str| Bucket {
            objects: objects.clone(),
            name: name.to_owned(),
        };
        let launcher = Launcher::binary(env!("CARGO_BIN_EXE_mcsp-pipeline-child").into());
        let parts = PipelineParts {
            log,
            db: Db::open(&uri).await.unwrap(),
            buckets: Buckets {
                global: bucket("mcsp-global"),
                ng: Some(bucket("mcsp-ng")),
            },
            transcoder: Transcoder::new(launcher, TranscodePolicy::default()),
            member: database.to_owned(),
            clock: SystemClock::shared(),
            entropy: SystemEntropy::shared(),
        };
        let mut config = PipelineConfig::new(self.path(&format!("scratch-{database}")));
        config.retry_base_ms = 5;
        config.retry_max_ms = 50;
        let (trigger, shutdown) = ShutdownTrigger::new();
        // A worker that was killed a moment ago may still hold its scratch folder.
        let deadline = Instant::now() + PATIENCE;
        let pipeline = loop {
            match Pipeline::open(parts.clone(), config.clone()).await {
                Ok(pipeline) => break pipeline,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        let task = tokio::spawn(async move { pipeline.run(shutdown).await.unwrap() });
        Worker { trigger, task }
    }

    /// Stores a file as an upload and tells of it.
    pub(crate) async fn upload(&self, file: &Path, residency: Residency) -> ContentId {
        let content_id = self.new_id();
        self.store(&content_id, file, residency).await;
        self.announce(&content_id, residency).await;
        content_id
    }

    pub(crate) fn new_id(&self) -> ContentId {
        let region: RegionCode = "ng".parse().unwrap();
        ContentId::generate(region, &SystemClock, &*self.entropy)
    }

    pub(crate) async fn store(&self, content_id: &ContentId, file: &Path, residency: Residency) {
        let key = format!("{}/{content_id}/source/original", residency.prefix());
        self.objects
            .put_file(bucket_of(residency), &key, "application/octet-stream", file)
            .await
            .unwrap();
    }

    pub(crate) async fn announce(&self, content_id: &ContentId, residency: Residency) {
        let region: RegionCode = "ng".parse().unwrap();
        let event = UploadInitiated {
            content_id: content_id.clone(),
            upload_id: UploadId::generate(region, &SystemClock, &*self.entropy),
            owner_id: UserId::generate(region, &SystemClock, &*self.entropy),
            organisation_id: None,
            residency,
            media_type: MediaType::Video,
            size_bytes: 1,
        };
        let record = encode(&event, "upload", &SystemClock, &*self.entropy).unwrap();
        self.log.append(vec![record]).await.unwrap();
    }

    /// All records of a topic about an item.
    pub(crate) async fn records(&self, topic: &str, content_id: &ContentId) -> Vec<Record> {
        let mut found = Vec::new();
        let partitions = self.log.describe(topic).await.unwrap();
        for partition in 0..u32::try_from(partitions.len()).unwrap() {
            found.extend(
                self.log
                    .read(topic, partition, 0, 1000, Duration::ZERO)
                    .await
                    .unwrap(),
            );
        }
        found.retain(|record| record.key == content_id.as_str());
        found
    }

    pub(crate) async fn events<E: Event>(&self, content_id: &ContentId) -> Vec<E> {
        let records = self.records(E::TOPIC.name, content_id).await;
        records
            .iter()
            .map(|record| decode::<E>(record).unwrap().payload)
            .collect()
    }

    /// Waits for an event about the item that `wanted` accepts.
    pub(crate) async fn wait_for<E: Event>(
        &self,
        content_id: &ContentId,
        wanted: impl Fn(&E) -> bool,
    ) -> E {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(event) = self.events::<E>(content_id).await.into_iter().find(&wanted) {
                return event;
            }
            assert!(
                Instant::now() < deadline,
                "no event of {} came",
                E::TOPIC.name
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Names of the item's objects, without `{residency}/{id}/`.
    pub(crate) async fn names(&self, bucket: &str, content_id: &ContentId) -> Vec<String> {
        let mut names = Vec::new();
        for residency in ["ng", "global"] {
            let prefix = format!("{residency}/{content_id}/");
            let page = self.objects.list(bucket, &prefix, None).await.unwrap();
            names.extend(
                page.objects
                    .iter()
                    .filter_map(|o| o.key.strip_prefix(&prefix))
                    .map(str::to_owned),
            );
        }
        names
    }

    /// Downloads all that viewers may get into a folder.
    pub(crate) async fn viewers_copy(
        &self,
        residency: Residency,
        content_id: &ContentId,
    ) -> PathBuf {
        let root = self.path("viewer");
        let bucket = bucket_of(residency);
        for name in self.names(bucket, content_id).await {
            if name.starts_with("source/") || name.starts_with("work/") {
                continue;
            }
            let path = root.join(&name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let key = format!("{}/{content_id}/{name}", residency.prefix());
            let body = self.objects.get(bucket, &key, None).await.unwrap();
            let chunks: Vec<_> = body.stream.try_collect().await.unwrap();
            fs::write(path, chunks.concat()).unwrap();
        }
        root
    }

    pub(crate) fn clip(&self, name: &str, arguments: &[&str]) -> PathBuf {
        let path = self.path(name);
        let made = Command::new("ffmpeg")
            .args(["-v", "error", "-nostdin", "-y"])
            .args(arguments)
            .arg(&path)
            .status();
        assert!(made.expect("the ffmpeg tool is installed").success());
        path
    }

    pub(crate) fn video(&self) -> PathBuf {
        self.clip(
            "video.mp4",
            &[
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=854x480:rate=25:duration=5",
                "-f",
                "lavfi",
                "-i",
                "sine=duration=5",
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-pix_fmt",
                "yuv420p",
                "-c:a",
                "aac",
                "-b:a",
                "160k",
                "-ac",
                "2",
            ],
        )
    }
}

pub(crate) fn bucket_of(residency: Residency) -> &'static str {
    match residency {
        Residency::Ng => "mcsp-ng",
        Residency::Global => "mcsp-global",
    }
}
