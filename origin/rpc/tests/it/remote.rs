//! Connections that are not there, come back, or are not whom they should be.

use std::sync::Arc;

use mcsp_rpc::{RpcChannel, RpcError, RpcPolicy};
use tokio::net::TcpSocket;
use tonic::Code;

use crate::support::{Cast, Echo, REGION, Running, call, routes};

fn patient() -> RpcPolicy {
    RpcPolicy {
        breaker_failures: 1_000,
        ..RpcPolicy::default()
    }
}

#[tokio::test]
async fn a_server_may_come_later_go_and_come_back() {
    let (cast, echo) = (Cast::new(), Arc::new(Echo::default()));
    // A port that is ours as long as the socket is bound, and nobody listens on.
    let reserved = TcpSocket::new_v4().unwrap();
    reserved.set_reuseaddr(true).unwrap();
    reserved.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = reserved.local_addr().unwrap().to_string();
    let channel = RpcChannel::connect(
        &addr,
        "origin.ng-lagos.mcsp.internal",
        &cast.identity(REGION, "origin"),
    )
    .unwrap()
    .with_policy(patient());
    assert_eq!(
        call(&channel).await.expect_err("nobody there").code(),
        Code::Unavailable
    );
    for _ in 0..2 {
        let running = Running::start_at(cast.server().grpc(routes(&echo)), &addr).await;
        assert!(call(&channel).await.is_ok());
        running.stop().await;
        assert_eq!(
            call(&channel).await.expect_err("gone").code(),
            Code::Unavailable
        );
    }
}

#[tokio::test]
async fn calls_side_by_side_share_a_connection() {
    let (cast, echo) = (Cast::new(), Arc::new(Echo::default()));
    let limits = mcsp_rpc::ServerLimits {
        connections_max: 1,
        ..mcsp_rpc::ServerLimits::default()
    };
    let running = Running::start(cast.server().grpc(routes(&echo)).limits(limits)).await;
    let channel = running.channel(&cast.identity(REGION, "origin"));
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move { call(&channel).await })
        })
        .collect();
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn a_server_that_is_someone_else_gets_nothing() {
    let (cast, stranger, echo) = (Cast::new(), Cast::new(), Arc::new(Echo::default()));
    let running = Running::start(cast.server().grpc(routes(&echo))).await;
    let addr = running.addr.to_string();
    let identity = cast.identity(REGION, "origin");
    let other_name =
        RpcChannel::connect(&addr, "origin.global-london.mcsp.internal", &identity).unwrap();
    assert_eq!(
        call(&other_name).await.expect_err("another name").code(),
        Code::Unavailable
    );
    let other_ca = running.channel(&stranger.identity(REGION, "origin"));
    assert_eq!(
        call(&other_ca).await.expect_err("another authority").code(),
        Code::Unavailable
    );
    assert_eq!(echo.calls(), 0);
    assert!(
        call(&running.channel(&identity)).await.is_ok(),
        "the same with the right name"
    );
}

#[tokio::test]
async fn malformed_addresses_are_refused_at_once() {
    let cast = Cast::new();
    let identity = cast.identity(REGION, "origin");
    for (addr, name, key) in [
        ("localhost", "a.b", "address"),
        ("localhost:0", "a.b", "address"),
        (":80", "a.b", "address"),
        ("localhost:80", "", "server_name"),
        ("localhost:80", "a b", "server_name"),
    ] {
        match RpcChannel::connect(addr, name, &identity) {
            Err(RpcError::Config { key: found, .. }) => assert_eq!(found, key, "{addr} {name}"),
            other => panic!("{addr} {name}: {other:?}"),
        }
    }
}
