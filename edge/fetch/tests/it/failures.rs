//! Who is asked next, and for how long.

use std::sync::Arc;

use http::{Method, StatusCode};
use mcsp_edge_fetch::{FetchConfig, FetchErrorKind, PoolPolicy, Target};

use crate::harness::{Harness, get, nobody, pool, read, request, target};
use crate::origin::{Origin, Step, send};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const AWAY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\naway";

/// What a first address may do wrong before its head is complete.
async fn wrecks() -> Vec<Origin> {
    vec![
        Origin::start(vec![vec![]]).await,
        Origin::start(vec![vec![Step::Request]]).await,
        Origin::start(vec![vec![Step::Request, Step::Reset]]).await,
        Origin::answering(b"HTTP/1.1 200 OK\r\ncontent-le").await,
        Origin::answering(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n").await,
    ]
}

#[tokio::test]
async fn another_address_is_asked() {
    let harness = Harness::new();
    let mut firsts: Vec<_> = wrecks().await.iter().map(|origin| origin.address).collect();
    firsts.push(nobody().await);
    for first in firsts {
        let origin = Origin::answering(OK.as_bytes()).await;
        let mut response = harness
            .fetch(&get(), &target(&[first, origin.address]))
            .await
            .unwrap();
        assert_eq!(response.address(), origin.address);
        assert_eq!(read(&mut response).await.unwrap().0, b"ok");
    }
}

#[tokio::test]
async fn an_act_is_repeated_elsewhere_only_if_nobody_can_have_received_it() {
    let harness = Harness::new();
    let post = request(Method::POST);
    for wreck in wrecks().await {
        let origin = Origin::answering(OK.as_bytes()).await;
        let target = target(&[wreck.address, origin.address]);
        harness.fetch(&post, &target).await.unwrap_err();
        assert_eq!(origin.seen().connections, 0);
    }
    let origin = Origin::answering(OK.as_bytes()).await;
    let target = target(&[nobody().await, origin.address]);
    harness.fetch(&post, &target).await.unwrap();
}

#[tokio::test]
async fn tries_are_bounded_and_the_last_error_is_told() {
    let harness = Harness::with(FetchConfig {
        tries_max: 2,
        ..FetchConfig::default()
    });
    let third = Origin::answering(OK.as_bytes()).await;
    let addresses = [nobody().await, nobody().await, third.address];
    let error = harness
        .fetch(&get(), &target(&addresses))
        .await
        .unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::Connect);
    assert_eq!(error.address, Some(addresses[1]));
    assert!(error.is_unsent() && error.is_retryable());
    assert_eq!(third.seen().connections, 0);
    assert_eq!(harness.counted("mcsp_edge_fetch_retries_total"), 1.0);
}

#[tokio::test]
async fn an_address_that_says_it_is_away_is_passed_over_where_the_target_has_it_so() {
    let harness = Harness::new();
    let away = |count| async move {
        let script = vec![Step::Request, send(AWAY)];
        Origin::start(vec![script; count]).await
    };
    let (first, second) = (away(2).await, Origin::answering(OK.as_bytes()).await);
    let target = target(&[first.address, second.address]);
    let response = harness.fetch(&get(), &target).await.unwrap();
    assert_eq!(response.head.status, StatusCode::SERVICE_UNAVAILABLE);
    drop(response);
    let target = target.asking_elsewhere_when_away(true);
    let response = harness.fetch(&get(), &target).await.unwrap();
    assert_eq!(response.head.status, StatusCode::OK);
    // Who is the last to ask is believed.
    let (first, second) = (away(1).await, away(1).await);
    let addresses = [first.address, second.address];
    let target =
        Target::plain(pool(&addresses, PoolPolicy::default())).asking_elsewhere_when_away(true);
    let mut response = harness.fetch(&get(), &target).await.unwrap();
    assert_eq!(response.head.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(read(&mut response).await.unwrap().0, b"away");
    assert_eq!(
        first.seen().requests.len() + second.seen().requests.len(),
        2
    );
}

#[tokio::test]
async fn the_address_that_broke_off_is_left_out_while_there_is_another() {
    let harness = Harness::new();
    let broken = Origin::answering(OK.as_bytes()).await;
    let other = Origin::answering(OK.as_bytes()).await;
    let mut again = get();
    again.avoid = vec![broken.address];
    let both = target(&[broken.address, other.address]);
    let response = harness.fetch(&again, &both).await.unwrap();
    assert_eq!(response.address(), other.address);
    let response = harness
        .fetch(&again, &target(&[broken.address]))
        .await
        .unwrap();
    assert_eq!(response.address(), broken.address);
}

#[tokio::test]
async fn waits_end() {
    let hold = |before: Vec<Step>| async move {
        let mut script = vec![Step::Request];
        script.extend(before);
        script.push(Step::AwaitClose);
        Origin::start(vec![script]).await
    };
    let harness = Harness::with(FetchConfig {
        head_timeout_ms: 100,
        ..FetchConfig::default()
    });
    let silent = hold(vec![]).await;
    let error = harness.get(&silent).await.unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::HeadTimeout);
    assert_eq!(error.status(), StatusCode::GATEWAY_TIMEOUT);
    silent.until(|seen| seen.closed == 1).await;
    let harness = Harness::with(FetchConfig {
        idle_timeout_ms: 100,
        ..FetchConfig::default()
    });
    let stalled = hold(vec![send(
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
    )])
    .await;
    let error = harness.get(&stalled).await.unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::IdleTimeout);
    stalled.until(|seen| seen.closed == 1).await;

    let harness = Harness::with(FetchConfig {
        total_timeout_ms: 100,
        ..FetchConfig::default()
    });
    for before in [
        vec![],
        vec![send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc")],
    ] {
        let origin = hold(before).await;
        let error = harness.get(&origin).await.unwrap_err();
        assert_eq!(error.kind, FetchErrorKind::TotalTimeout);
        assert!(error.is_timeout());
    }
}

#[tokio::test]
async fn a_pool_is_asked_no_more_than_it_may_be() {
    let harness = Harness::with(FetchConfig {
        turn_timeout_ms: 1,
        ..FetchConfig::default()
    });
    let script = vec![Step::Request, send(OK)];
    let origin = Origin::start(vec![script; 3]).await;
    let policy = PoolPolicy {
        in_flight_max: 1,
        ..PoolPolicy::default()
    };
    let target = Target::plain(pool(&[origin.address], policy));
    let mut first = harness.fetch(&get(), &target).await.unwrap();
    let error = harness.fetch(&get(), &target).await.unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::Overloaded);
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
    // The last byte gives the turn back; the answer need not be dropped.
    read(&mut first).await.unwrap();
    let second = harness.fetch(&get(), &target).await.unwrap();
    drop(second);
    harness.fetch(&get(), &target).await.unwrap();
    assert_eq!(Arc::strong_count(target.pool()), 1, "every lease is back");
}

#[tokio::test]
async fn an_address_that_breaks_bodies_off_is_left_alone() {
    let harness = Harness::new();
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc";
    let script = vec![Step::Request, send(half)];
    let broken = Origin::start(vec![script; 3]).await;
    let sound = Origin::answering(OK.as_bytes()).await;
    let target = target(&[broken.address, sound.address]);
    for _ in 0..3 {
        let mut response = harness.fetch(&get(), &target).await.unwrap();
        assert_eq!(response.address(), broken.address);
        read(&mut response).await.unwrap_err();
    }
    let response = harness.fetch(&get(), &target).await.unwrap();
    assert_eq!(response.address(), sound.address);
}
