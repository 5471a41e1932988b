//! A log in another process, over TLS.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mcsp_db::Tx;
use mcsp_events::consumer::{Consumer, ConsumerOptions, HandleError, Handler, RetryPolicy};
use mcsp_events::{EventsOptions, Record, RedbLog, SharedEventLog, contract, grpc_service, open};
use mcsp_identity::{CallerTable, WorkloadIdentity};
use mcsp_rpc::{RpcServer, ServerLimits, testing};
use mcsp_runtime::{ManualClock, SharedClock, ShutdownTrigger, SystemClock};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tonic::service::Routes;

use crate::support::{
    self, DAY, NOW_MS, effects, effects_db, event, eventually, payload, put_effect,
};

/// A process that owns a log.
struct Owner {
    trigger: ShutdownTrigger,
    serving: JoinHandle<()>,
    addr: SocketAddr,
}

impl Owner {
    async fn start(log: SharedEventLog, identity: WorkloadIdentity, addr: &str) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let limits = ServerLimits {
            drain_timeout_ms: 50,
            ..ServerLimits::default()
        };
        let server = RpcServer::builder("ng-lagos", identity, CallerTable::embedded().unwrap())
            .grpc(Routes::new(grpc_service(log)))
            .limits(limits)
            .build()
            .unwrap();
        let (trigger, shutdown) = ShutdownTrigger::new();
        let serving = tokio::spawn(async move { server.serve(listener, shutdown).await.unwrap() });
        Self {
            trigger,
            serving,
            addr,
        }
    }

    async fn stop(self) {
        self.trigger.trigger();
        self.serving.await.unwrap();
    }
}

fn identity(dir: &Path, account: &str) -> WorkloadIdentity {
    mcsp_runtime::install_crypto_provider();
    testing::issue(dir, "ng-lagos", account).unwrap()
}

async fn remote(
    addr: SocketAddr,
    server: &WorkloadIdentity,
    caller: WorkloadIdentity,
) -> SharedEventLog {
    let uri = format!("mcsp://{addr}/{}", server.spiffe_id().dns_name());
    let options = EventsOptions {
        clock: SystemClock::shared(),
        identity: Some(caller),
    };
    open(&uri, options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let (server, caller) = (
        identity(dir.path(), "origin"),
        identity(dir.path(), "media"),
    );
    let (log, clock, _folder) = support::log();
    let owner = Owner::start(log, server.clone(), "127.0.0.1:0").await;
    let log = remote(owner.addr, &server, caller).await;
    contract::run(&log, &clock).await.unwrap();
    owner.stop().await;
    assert!(
        log.describe("contract.order")
            .await
            .unwrap_err()
            .is_retryable()
    );
}

/// Opens the log; its file is free once the last reader of the one before has gone.
async fn reopen(path: &Path, clock: &SharedClock) -> SharedEventLog {
    let opened = tokio::time::timeout(support::PATIENCE, async {
        loop {
            match RedbLog::open(path, Arc::clone(clock)) {
                Ok(log) => return Arc::new(log),
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    opened.await.unwrap()
}

struct Writer;

#[async_trait]
impl Handler for Writer {
    const GROUP: &'static str = "writer";

    fn topics(&self) -> Vec<String> {
        vec!["t".to_owned()]
    }

    async fn handle(&self, record: &Record, tx: &mut Tx) -> Result<(), HandleError> {
        Ok(put_effect(tx, &record.key, &payload(&record.value)).await?)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_outlives_a_restart_of_the_process_that_owns_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let (server, caller) = (
        identity(dir.path(), "origin"),
        identity(dir.path(), "media"),
    );
    let path = dir.path().join("events.redb");
    let clock: SharedClock = ManualClock::new(NOW_MS);

    let log = reopen(&path, &clock).await;
    log.ensure_topic("t", 4, DAY).await.unwrap();
    // Nobody else's while the process that owns the log is away: bound all the time.
    let reserved = TcpSocket::new_v4().unwrap();
    reserved.set_reuseaddr(true).unwrap();
    reserved.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = reserved.local_addr().unwrap();
    let owner = Owner::start(Arc::clone(&log), server.clone(), &addr.to_string()).await;
    let db = effects_db("sqlite::memory:").await;
    let policy = RetryPolicy {
        tries: 3,
        base_ms: 5,
        max_ms: 50,
    };
    let options = ConsumerOptions {
        session_timeout_ms: 3_000,
        heartbeat_ms: 50,
        ..ConsumerOptions::default()
    };
    let consumer = Consumer::new(
        remote(addr, &server, caller).await,
        db.clone(),
        Writer::GROUP,
        "m",
        policy,
    );
    let (trigger, shutdown) = ShutdownTrigger::new();
    let running = tokio::spawn(consumer.with_options(options).run(Writer, shutdown));

    for n in 0..30 {
        log.append(vec![event("t", &format!("k{n}"), n, &n.to_string())])
            .await
            .unwrap();
    }
    eventually("half of the effects", || async {
        effects(&db).await.len() >= 15
    })
    .await;
    owner.stop().await;
    drop(log);
    let log = reopen(&path, &clock).await;
    let owner = Owner::start(Arc::clone(&log), server, &addr.to_string()).await;
    for n in 30..60 {
        log.append(vec![event("t", &format!("k{n}"), n, &n.to_string())])
            .await
            .unwrap();
    }
    eventually("all effects", || async { effects(&db).await.len() == 60 }).await;
    trigger.trigger();
    tokio::time::timeout(Duration::from_secs(60), running)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    owner.stop().await;
    assert_eq!(effects(&db).await.len(), 60);
}
