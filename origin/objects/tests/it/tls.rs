//! The S3 API over mutual TLS, between processes as it were.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mcsp_identity::{CallerTable, LocalCa, SpiffeId, WorkloadIdentity};
use mcsp_origin_objects::contract::{self, PartSender};
use mcsp_origin_objects::{ObjectError, ObjectsOptions, SharedObjects, open};
use mcsp_runtime::ShutdownTrigger;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::stage::{GLOBAL, NG, Stage, secret};

/// An endpoint of `ng-lagos` that listens, and the authority of its peers.
struct Listening {
    stage: Stage,
    address: SocketAddr,
    ca: LocalCa,
    keys: TempDir,
    trigger: ShutdownTrigger,
    server: JoinHandle<Result<(), mcsp_rpc::RpcError>>,
}

impl Listening {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let keys = tempfile::tempdir().unwrap();
        let ca = LocalCa::create_or_open(&keys.path().join("ca")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let own = identity(&ca, &keys, "ng-lagos", "origin");
        let (trigger, shutdown) = ShutdownTrigger::new();
        let endpoint = stage.endpoint.clone();
        let server = tokio::spawn(async move {
            endpoint
                .serve(listener, own, CallerTable::embedded().unwrap(), shutdown)
                .await
        });
        Self {
            stage,
            address,
            ca,
            keys,
            trigger,
            server,
        }
    }

    fn identity(&self, namespace: &str, account: &str) -> WorkloadIdentity {
        identity(&self.ca, &self.keys, namespace, account)
    }

    async fn client(&self, namespace: &str, account: &str) -> SharedObjects {
        let identity = self.identity(namespace, account);
        let options = ObjectsOptions::new(Some(identity), "ng-writer", secret());
        let uri = format!(
            "s3://{}?server_name=origin.ng-lagos.mcsp.internal",
            self.address
        );
        open(&uri, &options).await.unwrap()
    }
}

fn identity(ca: &LocalCa, keys: &TempDir, namespace: &str, account: &str) -> WorkloadIdentity {
    mcsp_runtime::install_crypto_provider();
    let id = SpiffeId::new("mcsp.internal", namespace, account).unwrap();
    let dir = keys.path().join(format!("{namespace}-{account}"));
    WorkloadIdentity::load(&ca.issue(&id, &[], &dir).unwrap().config()).unwrap()
}

/// Stores parts by presigned URLs over TLS, as an edge carries them: the Host is that of the PoP.
struct TlsParts {
    store: SharedObjects,
    http: reqwest::Client,
    port: u16,
}

const POP: &str = "https://localhost";

impl TlsParts {
    fn new(store: SharedObjects, identity: &WorkloadIdentity, port: u16) -> Self {
        let tls = Arc::unwrap_or_clone(identity.client_config(&[b"h2", b"http/1.1"]).unwrap());
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .build()
            .unwrap();
        Self { store, http, port }
    }
}

#[async_trait]
impl PartSender for TlsParts {
    async fn send(
        &self,
        key: &str,
        upload_id: &str,
        part_number: u32,
        body: Bytes,
    ) -> Result<(), String> {
        let base = format!("{POP}:{}", self.port);
        let url = self
            .store
            .presign_part(
                &base,
                NG,
                key,
                upload_id,
                part_number,
                Duration::from_secs(60),
            )
            .map_err(|error| error.to_string())?;
        let answer = self
            .http
            .put(url)
            .body(body)
            .send()
            .await
            .map_err(|error| format!("{error:?}"))?;
        let status = answer.status();
        if status.is_success() {
            Ok(())
        } else {
            Err(status.to_string())
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_over_tls_keeps_the_contract() {
    let server = Listening::new().await;
    let store = server.client("ng-lagos", "media").await;
    let sender = TlsParts::new(
        store.clone(),
        &server.identity("edge", "los1"),
        server.address.port(),
    );
    contract::run(&store, NG, &sender).await.unwrap();
}

#[tokio::test]
async fn a_caller_that_is_not_in_the_table_is_refused() {
    let server = Listening::new().await;
    for (namespace, account) in [
        ("ng-lagos", "auth"),
        ("global-london", "media"),
        ("global-london", "origin"),
    ] {
        let store = server.client(namespace, account).await;
        let refused = store.head(NG, "k").await;
        assert!(
            matches!(refused, Err(ObjectError::Denied(_))),
            "{namespace}/{account}: {refused:?}"
        );
    }
    let known = server.client("ng-lagos", "media").await.head(NG, "k").await;
    assert!(matches!(known, Err(ObjectError::NotFound(_))), "{known:?}");
}

#[tokio::test]
async fn a_bucket_that_stays_in_nigeria_is_carried_by_nodes_there_only() {
    let server = Listening::new().await;
    let key = "ng/k/source/original";
    let store = server.client("ng-lagos", "media").await;
    for (pop, bucket, is_carried) in [
        ("los1", NG, true),
        ("lhr1", NG, false),
        ("lhr1", GLOBAL, true),
    ] {
        let writer = if bucket == NG {
            "ng-writer"
        } else {
            "global-writer"
        };
        let account = server.stage.client(writer);
        let upload = account.create_multipart(bucket, key, "video/mp4");
        let upload_id = upload.await.unwrap();
        let carrier = TlsParts::new(
            store.clone(),
            &server.identity("edge", pop),
            server.address.port(),
        );
        let base = format!("{POP}:{}", carrier.port);
        let url = account
            .presign_part(&base, bucket, key, &upload_id, 1, Duration::from_secs(60))
            .unwrap();
        let put = async |url| {
            let sent = carrier.http.put(url).body("bytes").send().await.unwrap();
            sent.status().is_success()
        };
        assert_eq!(put(url.clone()).await, is_carried, "{pop} {bucket}");
        // Another spelling of the bucket's name is the same bucket.
        let spelled = url.replace("/mcsp-", "/mcsp%2D");
        assert!(is_carried || !put(spelled).await, "{pop} {bucket}");
        let stored = account.list_parts(bucket, key, &upload_id).await.unwrap();
        assert_eq!(stored.len(), usize::from(is_carried), "{pop} {bucket}");
    }
}

#[tokio::test]
async fn another_authority_and_another_server_name_are_refused() {
    let server = Listening::new().await;
    let other = Listening::new().await;
    let foreign = ObjectsOptions::new(
        Some(other.identity("ng-lagos", "media")),
        "ng-writer",
        secret(),
    );
    let own = ObjectsOptions::new(
        Some(server.identity("ng-lagos", "media")),
        "ng-writer",
        secret(),
    );
    let address = server.address;
    for (uri, options) in [
        (
            format!("s3://{address}?server_name=origin.ng-lagos.mcsp.internal"),
            &foreign,
        ),
        (
            format!("s3://{address}?server_name=origin.global-london.mcsp.internal"),
            &own,
        ),
    ] {
        let refused = open(&uri, options).await.unwrap().head(NG, "k").await;
        assert!(
            matches!(refused, Err(ObjectError::Unavailable(_))),
            "{uri}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable_and_a_stop_drains() {
    let server = Listening::new().await;
    let store = server.client("ng-lagos", "media").await;
    let body = Bytes::from(vec![b'x'; 3 << 20]);
    store.put(NG, "k", "video/mp4", body.clone()).await.unwrap();
    let running = store.get(NG, "k", None).await.unwrap();
    server.trigger.trigger();
    // The answer that had begun comes to its end.
    assert_eq!(contract::read_all(running).await.unwrap(), body);
    server.server.await.unwrap().unwrap();
    let away = store.head(NG, "k").await;
    assert!(
        matches!(&away, Err(error) if error.is_retryable()),
        "{away:?}"
    );
    drop(server.stage);
}
