//! What a server lets its peers use, and how it stops.

use std::sync::Arc;
use std::time::Duration;

use mcsp_rpc::{RpcError, ServerLimits};
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Cast, Echo, Mood, REGION, Running, SOON, call, routes};

async fn connect(cast: &Cast, running: &Running) -> TlsStream<TcpStream> {
    let config = cast
        .identity("edge", "los1")
        .client_config(&[b"http/1.1"])
        .unwrap();
    let name = ServerName::try_from("origin.ng-lagos.mcsp.internal").unwrap();
    let stream = TcpStream::connect(running.addr).await.unwrap();
    TlsConnector::from(config)
        .connect(name, stream)
        .await
        .unwrap()
}

#[tokio::test]
async fn who_connects_and_says_nothing_is_sent_away() {
    let cast = Cast::new();
    let limits = ServerLimits {
        // Who does shake hands has time for it on a busy machine.
        handshake_timeout_ms: 3_000,
        header_timeout_ms: 100,
        ..ServerLimits::default()
    };
    let running = Running::start(cast.server().limits(limits)).await;
    let mut plain = TcpStream::connect(running.addr).await.unwrap();
    let read = tokio::time::timeout(SOON, plain.read(&mut [0; 8]))
        .await
        .expect("closed before TLS");
    assert!(matches!(read, Ok(0) | Err(_)));
    let mut silent = connect(&cast, &running).await;
    let read = tokio::time::timeout(SOON, silent.read_to_end(&mut Vec::new())).await;
    assert!(read.is_ok(), "closed after TLS");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_their_turn() {
    let cast = Cast::new();
    let limits = ServerLimits {
        connections_max: 1,
        ..ServerLimits::default()
    };
    let running = Running::start(cast.server().limits(limits)).await;
    let first = connect(&cast, &running).await;
    let second = connect(&cast, &running);
    let mut second = std::pin::pin!(second);
    let early = tokio::time::timeout(Duration::from_millis(100), &mut second).await;
    assert!(early.is_err(), "no place yet");
    drop(first);
    tokio::time::timeout(SOON, second).await.expect("a place");
}

#[tokio::test]
async fn what_is_under_way_ends_before_the_server_does() {
    let (cast, echo) = (Cast::new(), Arc::new(Echo::default()));
    let running = Running::start(cast.server().grpc(routes(&echo))).await;
    echo.set(Mood::Waits);
    let channel = running.channel(&cast.identity(REGION, "origin"));
    let under_way = tokio::spawn(async move { call(&channel).await });
    echo.entered.notified().await;
    running.trigger.trigger();
    // New connections find nobody while the old one is served on.
    let gone = async {
        while TcpStream::connect(running.addr).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, gone)
        .await
        .expect("the listener closes");
    assert!(!running.task.is_finished());
    echo.release.notify_one();
    assert!(under_way.await.unwrap().is_ok());
    running.stop().await;
}

#[tokio::test]
async fn what_does_not_end_in_time_is_cut() {
    let (cast, echo) = (Cast::new(), Arc::new(Echo::default()));
    let limits = ServerLimits {
        drain_timeout_ms: 50,
        ..ServerLimits::default()
    };
    let running = Running::start(cast.server().grpc(routes(&echo)).limits(limits)).await;
    echo.set(Mood::Waits);
    let channel = running.channel(&cast.identity(REGION, "origin"));
    let under_way = tokio::spawn(async move { call(&channel).await });
    echo.entered.notified().await;
    running.stop().await;
    assert!(under_way.await.unwrap().is_err());
    tokio::time::timeout(SOON, echo.dropped.notified())
        .await
        .expect("its work is dropped");
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_timeout() {
    let (cast, echo) = (Cast::new(), Arc::new(Echo::default()));
    let limits = ServerLimits {
        answer_timeout_ms: 100,
        ..ServerLimits::default()
    };
    let running = Running::start(cast.server().grpc(routes(&echo)).limits(limits)).await;
    echo.set(Mood::Waits);
    let status = call(&running.channel(&cast.identity(REGION, "origin")))
        .await
        .expect_err("no answer");
    assert_eq!(
        (status.code(), status.message()),
        (tonic::Code::DeadlineExceeded, "no answer in time")
    );
}

#[test]
fn limits_out_of_range_are_refused_by_name() {
    let cast = Cast::new();
    let limits = ServerLimits {
        connections_max: 0,
        ..ServerLimits::default()
    };
    let error = cast.server().limits(limits).build().expect_err("no places");
    assert!(
        matches!(
            error,
            RpcError::Config {
                key: "connections_max",
                ..
            }
        ),
        "{error}"
    );
    assert!(cast.path().exists());
}
