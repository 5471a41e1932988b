//! The store over gRPC: in one process, and between two parties over mutual TLS.

use mcsp_identity::{CallerTable, SpiffeId, TRUST_DOMAIN_DEFAULT};
use mcsp_kv::{KvError, KvOpenError, KvOptions, SharedKv, contract};
use mcsp_rpc::{RpcChannel, RpcServer, testing};
use mcsp_runtime::{ManualClock, ShutdownTrigger};
use tokio::net::TcpListener;
use tonic::service::Routes;

use crate::{open_sled, options};

const REGION: &str = "ng-lagos";

fn channel(kv: SharedKv, account: &str) -> RpcChannel {
    let caller = SpiffeId::new(TRUST_DOMAIN_DEFAULT, REGION, account).unwrap();
    RpcChannel::in_process(Routes::new(mcsp_kv::grpc_service(kv)), caller)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_in_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(1_000_000);
    let kv = mcsp_kv::remote(channel(open_sled(folder.path(), &clock).await, "upload"));
    contract::run(&kv, &clock).await.unwrap();
}

#[tokio::test]
async fn a_full_scan_fits_into_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(1_000_000);
    let local = open_sled(folder.path(), &clock).await;
    let keys: Vec<String> = (0..1000).map(|number| format!("{number:0>512}")).collect();
    let puts = keys.iter().map(|key| {
        let (local, key) = (local.clone(), key.clone());
        tokio::spawn(async move { local.put(&key, vec![7; 2097].into(), None).await.unwrap() })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.unwrap();
    }
    let kv = mcsp_kv::remote(channel(local, "upload"));
    let entries = kv.scan("", "", 1000).await.unwrap();
    assert_eq!(
        entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>(),
        keys
    );
}

#[tokio::test]
async fn a_caller_who_is_not_in_the_table_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(1_000_000);
    let kv = mcsp_kv::remote(channel(open_sled(folder.path(), &clock).await, "stranger"));
    let error = kv.put("key", "value".into(), None).await.unwrap_err();
    assert!(matches!(error, KvError::Invalid(_)), "{error}");
    assert!(!error.is_retryable());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_over_mutual_tls() {
    mcsp_runtime::install_crypto_provider();
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(1_000_000);
    let local = open_sled(&folder.path().join("kv"), &clock).await;
    let origin = testing::issue(folder.path(), REGION, "origin").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (trigger, shutdown) = ShutdownTrigger::new();
    let server = RpcServer::builder(REGION, origin, CallerTable::embedded().unwrap())
        .grpc(Routes::new(mcsp_kv::grpc_service(local)))
        .build()
        .unwrap();
    let serving = tokio::spawn(server.serve(listener, shutdown));

    let uri = format!("mcsp://{addr}/origin.{REGION}.mcsp.internal");
    let as_account = async |account: &str| {
        let identity = testing::issue(folder.path(), REGION, account).unwrap();
        let options = KvOptions {
            clock: clock.clone(),
            identity: Some(identity),
        };
        mcsp_kv::open(&uri, options).await.unwrap()
    };
    contract::run(&as_account("upload").await, &clock)
        .await
        .unwrap();
    let refused = as_account("stranger").await.get("key").await.unwrap_err();
    assert!(matches!(refused, KvError::Invalid(_)), "{refused}");

    trigger.trigger();
    serving.await.unwrap().unwrap();
    let gone = as_account("upload").await.get("key").await.unwrap_err();
    assert!(gone.is_retryable(), "{gone}");
}

#[tokio::test]
async fn a_uri_that_cannot_be_used_says_why() {
    for (uri, why) in [
        (
            "mcsp://localhost:1",
            "expected mcsp://host:port/server_name",
        ),
        (
            "mcsp:localhost:1/name",
            "expected mcsp://host:port/server_name",
        ),
        ("mcsp://localhost:1/name", "needs a workload identity"),
        ("mcsp://localhost:1/name?x=1", "takes no parameters"),
    ] {
        let error = mcsp_kv::open(uri, options(ManualClock::new(0)))
            .await
            .unwrap_err();
        assert!(error.to_string().contains(why), "{uri}: {error}");
        assert!(!matches!(
            error,
            KvOpenError::Engine {
                source: KvError::Unavailable(_),
                ..
            }
        ));
    }
}
