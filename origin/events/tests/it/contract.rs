//! Every engine passes the same suite.

use std::sync::Arc;

use mcsp_events::{EventError, FaultyLog, RemoteLog, SharedEventLog, contract, grpc_service};
use mcsp_identity::{SpiffeId, TRUST_DOMAIN_DEFAULT};
use mcsp_rpc::RpcChannel;
use mcsp_runtime::{EngineUri, FaultPlan};
use tonic::service::Routes;

use crate::support;

fn faulty(inner: SharedEventLog, query: &str) -> SharedEventLog {
    let uri = EngineUri::parse(&format!("faulty:redb:/x?{query}")).unwrap();
    let (plan, _) = FaultPlan::split(&uri).unwrap();
    Arc::new(FaultyLog::new(inner, plan))
}

fn remote(inner: SharedEventLog) -> SharedEventLog {
    let caller = SpiffeId::new(TRUST_DOMAIN_DEFAULT, "ng-lagos", "media").unwrap();
    let channel = RpcChannel::in_process(Routes::new(grpc_service(inner)), caller);
    Arc::new(RemoteLog::new(channel))
}

#[tokio::test]
async fn redb() {
    let (log, clock, _dir) = support::log();
    contract::run(&log, &clock).await.unwrap();
}

#[tokio::test]
async fn faulty_without_faults() {
    let (log, clock, _dir) = support::log();
    contract::run(&faulty(log, "seed=1"), &clock).await.unwrap();
}

#[tokio::test]
async fn grpc() {
    let (log, clock, _dir) = support::log();
    contract::run(&remote(log), &clock).await.unwrap();
}

#[tokio::test]
async fn a_stranger_may_not_call() {
    let (log, _clock, _dir) = support::log();
    let caller = SpiffeId::new(TRUST_DOMAIN_DEFAULT, "edge", "lhr1").unwrap();
    let channel = RpcChannel::in_process(Routes::new(grpc_service(log)), caller);
    let refused = RemoteLog::new(channel);
    let refused: SharedEventLog = Arc::new(refused);
    assert!(matches!(
        refused.describe("t").await,
        Err(EventError::Invalid(_))
    ));
}

#[tokio::test]
async fn faults_come_before_and_after_the_effect() {
    let (log, _clock, _dir) = support::log();
    log.ensure_topic("t", 1, support::DAY).await.unwrap();
    let ends = |log: SharedEventLog| async move { log.describe("t").await.unwrap()[0].next_offset };
    let before = faulty(Arc::clone(&log), "error_rate=1");
    let error = before
        .append(vec![support::record("t", "k", "v")])
        .await
        .unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert_eq!(ends(Arc::clone(&log)).await, 0);
    let after = faulty(Arc::clone(&log), "lost_ack_rate=1");
    let error = after
        .append(vec![support::record("t", "k", "v")])
        .await
        .unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert_eq!(ends(log).await, 1);
}
