//! What a worker needs of its region's origin: the event log and object storage, over mutual TLS.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcsp_api::events::{Event, MediaType, TOPICS, UploadInitiated};
use mcsp_api::{ContentId, Residency, UploadId, UserId};
use mcsp_events::{EventLog, RedbLog, SharedEventLog, envelope, grpc_service};
use mcsp_identity::CallerTable;
use mcsp_objects::{Account, Accounts, FileEngine, ObjectStore, S3Endpoint, Secret};
use mcsp_rpc::{RpcServer, testing};
use mcsp_runtime::{ShutdownTrigger, SystemClock, SystemEntropy};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tonic::service::Routes;
use uuid::Uuid;

const REGION: &str = "ng-lagos";
const SECRET: &str = "a secret for tests only";

pub(crate) struct Origin {
    pub(crate) dir: TempDir,
    log: SharedEventLog,
    engine: FileEngine,
    /// Where the worker's configuration is.
    pub(crate) config: PathBuf,
    _trigger: ShutdownTrigger,
}

impl Origin {
    pub(crate) async fn start() -> Self {
        mcsp_runtime::install_crypto_provider();
        let dir = tempfile::tempdir().unwrap();
        let clock = SystemClock::shared();
        let log = RedbLog::open(&dir.path().join("events.redb"), clock.clone()).unwrap();
        for topic in TOPICS {
            let kept = Duration::from_secs(24 * 3600);
            log.ensure_topic(topic.name, topic.partitions, kept)
                .await
                .unwrap();
        }
        let log: SharedEventLog = Arc::new(log);
        let engine = FileEngine::open(&dir.path().join("objects"), clock, SystemEntropy::shared())
            .await
            .unwrap();
        engine.create_bucket("mcsp-ng").await.unwrap();
        engine.create_bucket("mcsp-global").await.unwrap();
        let secret = || Secret::new(SECRET);
        let accounts = Accounts::new([
            Account::writer("worker-ng", secret(), "mcsp-ng", &["mcsp-global"]),
            Account::writer("worker-global", secret(), "mcsp-global", &["mcsp-ng"]),
        ]);
        let endpoint = S3Endpoint::new(engine.clone(), accounts.unwrap());

        let identity = testing::issue(dir.path(), REGION, "origin").unwrap();
        testing::issue(dir.path(), REGION, "media").unwrap();
        let (trigger, shutdown) = ShutdownTrigger::new();
        let rpc = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let s3 = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = (rpc.local_addr().unwrap(), s3.local_addr().unwrap());
        let callers = || CallerTable::embedded().unwrap();
        let server = RpcServer::builder(REGION, identity.clone(), callers())
            .grpc(Routes::new(grpc_service(Arc::clone(&log))))
            .build()
            .unwrap();
        tokio::spawn(server.serve(rpc, shutdown.clone()));
        let callers = callers();
        tokio::spawn(async move { endpoint.serve(s3, identity, callers, shutdown).await });
        let origin = Self {
            config: dir.path().join("media.toml"),
            dir,
            log,
            engine,
            _trigger: trigger,
        };
        origin.write_config(addresses);
        origin
    }

    fn write_config(&self, (rpc, s3): (SocketAddr, SocketAddr)) {
        let dir = self.dir.path().display();
        let credentials = self.dir.path().join("credentials.toml");
        let account =
            |name| format!("[{name}]\naccess_key = \"worker-{name}\"\nsecret = \"{SECRET}\"\n");
        fs::write(&credentials, account("global") + &account("ng")).unwrap();
        fs::set_permissions(&credentials, fs::Permissions::from_mode(0o600)).unwrap();
        let server = format!("origin.{REGION}.mcsp.internal");
        let bucket = |name| {
            format!(
                "[objects.{name}]\nuri = \"s3://{s3}?server_name={server}\"\nbucket = \"mcsp-{name}\"\n\
                 credentials_file = \"{}\"\n",
                credentials.display()
            )
        };
        let identity = testing::issue(self.dir.path(), REGION, "media").unwrap();
        let files = identity.config();
        let text = format!(
            "events = \"mcsp://{rpc}/{server}\"\ndatabase = \"sqlite:{dir}/media.db\"\n\
             [region]\nid = \"{REGION}\"\ncode = \"ng\"\ncountry = \"NG\"\n\
             [identity]\ncert_file = \"{}\"\nkey_file = \"{}\"\nca_file = \"{}\"\n\
             [scratch]\ndir = \"{dir}/scratch\"\n[admin]\naddress = \"127.0.0.1:0\"\n{}{}",
            files.cert_file.display(),
            files.key_file.display(),
            files.ca_file.display(),
            bucket("global"),
            bucket("ng"),
        );
        fs::write(&self.config, text).unwrap();
    }

    /// An upload that is complete: the object is there, the event told.
    pub(crate) async fn upload(&self, residency: Residency, body: Vec<u8>) -> ContentId {
        let code = "ng".parse().unwrap();
        let id = ContentId::generate(code, &SystemClock, &SystemEntropy);
        let prefix = residency.prefix();
        let key = format!("{prefix}/{id}/source/original");
        let size_bytes = body.len() as u64;
        let bucket = format!("mcsp-{prefix}");
        self.engine
            .put(&bucket, &key, "video/mp4", Bytes::from(body))
            .await
            .unwrap();
        let event = UploadInitiated {
            content_id: id.clone(),
            upload_id: UploadId::generate(code, &SystemClock, &SystemEntropy),
            owner_id: UserId::generate(code, &SystemClock, &SystemEntropy),
            organisation_id: None,
            residency,
            media_type: MediaType::Video,
            size_bytes,
        };
        let record = envelope::encode(&event, "upload", &SystemClock, &SystemEntropy).unwrap();
        self.log.append(vec![record]).await.unwrap();
        id
    }

    /// Every event of a kind, each once however often it was delivered.
    pub(crate) async fn events<E: Event>(&self) -> Vec<E> {
        let mut known = BTreeSet::<Uuid>::new();
        let mut events = Vec::new();
        for partition in 0..E::TOPIC.partitions {
            let read = self
                .log
                .read(E::TOPIC.name, partition, 0, 1000, Duration::ZERO);
            for record in read.await.unwrap() {
                let envelope = envelope::decode::<E>(&record).unwrap();
                if known.insert(envelope.event_id) {
                    events.push(envelope.payload);
                }
            }
        }
        events
    }

    pub(crate) async fn has_object(
        &self,
        residency: Residency,
        id: &ContentId,
        rest: &str,
    ) -> bool {
        let prefix = residency.prefix();
        let key = format!("{prefix}/{id}/{rest}");
        self.engine
            .head(&format!("mcsp-{prefix}"), &key)
            .await
            .is_ok()
    }
}
