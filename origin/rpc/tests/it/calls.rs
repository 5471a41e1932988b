//! What holds for a call, whichever way it goes.

use std::sync::Arc;
use std::time::Duration;

use mcsp_api::proto::auth::GetKeySetRequest;
use mcsp_api::proto::auth::auth_client::AuthClient;
use mcsp_identity::CallerTable;
use mcsp_rpc::{BreakerState, RpcChannel, RpcPolicy};
use mcsp_runtime::{ManualClock, SeededEntropy};
use mcsp_telemetry::{Outcome, TraceContext, red_metrics, with_trace};
use tonic::Code;

use crate::support::{Cast, Echo, Mood, REGION, Running, SOON, call, id, routes};

const METHOD: &str = "/mcsp.auth.v1.Auth/GetKeySet";

/// The same service behind both kinds of channel, called as `{namespace}/{account}`.
struct Ways {
    echo: Arc<Echo>,
    channels: Vec<(&'static str, RpcChannel)>,
    _running: Running,
    _cast: Cast,
}

async fn ways(namespace: &str, account: &str) -> Ways {
    let (cast, echo) = (Cast::new(), Arc::new(Echo::default()));
    let running = Running::start(cast.server().grpc(routes(&echo))).await;
    let callers = CallerTable::embedded().unwrap();
    let channels = vec![
        (
            "in process",
            RpcChannel::in_process_with(routes(&echo), id(namespace, account), REGION, callers),
        ),
        (
            "remote",
            running.channel(&cast.identity(namespace, account)),
        ),
    ];
    Ways {
        echo,
        channels,
        _running: running,
        _cast: cast,
    }
}

#[tokio::test]
async fn a_call_tells_who_calls_and_in_which_trace_and_is_counted() {
    let ways = ways(REGION, "origin").await;
    let red = red_metrics().unwrap();
    for (way, channel) in &ways.channels {
        let before = red.count("auth", METHOD, "POST", Outcome::Ok);
        let trace = TraceContext::root(&*SeededEntropy::new(9), 1.0);
        let seen = with_trace(trace, call(channel)).await.expect(way);
        assert_eq!(
            seen,
            format!(
                "spiffe://mcsp.internal/ns/ng-lagos/sa/origin {}",
                trace.trace_id_hex()
            ),
            "{way}"
        );
        assert_eq!(
            red.count("auth", METHOD, "POST", Outcome::Ok),
            before + 1,
            "{way}"
        );
    }
}

#[tokio::test]
async fn callers_that_no_rule_names_are_refused() {
    for (namespace, account) in [
        (REGION, "media"),
        ("edge", "los1"),
        ("global-london", "origin"),
    ] {
        let ways = ways(namespace, account).await;
        for (way, channel) in &ways.channels {
            let status = call(channel).await.expect_err(way);
            assert_eq!(
                status.code(),
                Code::PermissionDenied,
                "{way} as {namespace}/{account}"
            );
        }
        assert_eq!(ways.echo.calls(), 0);
    }
}

#[tokio::test]
async fn an_in_process_channel_checks_the_embedded_table() {
    let echo = Arc::new(Echo::default());
    assert!(
        call(&RpcChannel::in_process(routes(&echo), id(REGION, "origin")))
            .await
            .is_ok()
    );
    let refused = call(&RpcChannel::in_process(routes(&echo), id(REGION, "media"))).await;
    assert_eq!(refused.expect_err("no rule").code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_call_has_a_deadline_and_the_callee_stops_working() {
    let ways = ways(REGION, "origin").await;
    ways.echo.set(Mood::Waits);
    for (way, channel) in &ways.channels {
        let channel = channel.clone().with_policy(RpcPolicy {
            timeout_ms: 50,
            ..RpcPolicy::default()
        });
        // On a busy machine a call's time may be over before the callee has heard of it.
        let dropped = async {
            loop {
                let status = call(&channel).await.expect_err(way);
                assert_eq!(status.code(), Code::DeadlineExceeded, "{way}");
                let second = Duration::from_secs(1);
                if tokio::time::timeout(second, ways.echo.dropped.notified())
                    .await
                    .is_ok()
                {
                    return;
                }
            }
        };
        tokio::time::timeout(SOON, dropped)
            .await
            .expect("the callee's work is dropped");
    }
}

#[tokio::test]
async fn a_call_may_bring_its_own_deadline() {
    let ways = ways(REGION, "origin").await;
    ways.echo.set(Mood::Waits);
    for (way, channel) in &ways.channels {
        let mut request = tonic::Request::new(GetKeySetRequest {});
        request.set_timeout(Duration::from_millis(50));
        let call = AuthClient::new(channel.clone()).get_key_set(request).await;
        assert_eq!(call.expect_err(way).code(), Code::DeadlineExceeded, "{way}");
    }
}

#[tokio::test]
async fn a_callee_that_keeps_failing_is_left_alone_for_a_while() {
    let ways = ways(REGION, "origin").await;
    for (way, channel) in &ways.channels {
        let clock = ManualClock::new(0);
        let channel = channel
            .clone()
            .with_policy(RpcPolicy {
                breaker_failures: 2,
                breaker_open_ms: 1_000,
                ..RpcPolicy::default()
            })
            .with_clock(clock.clone());
        // An answer, even a refusal, is no failure.
        ways.echo.set(Mood::NotFound);
        for _ in 0..3 {
            assert_eq!(
                call(&channel).await.expect_err(way).code(),
                Code::NotFound,
                "{way}"
            );
        }
        assert_eq!(channel.breaker_state(), BreakerState::Closed, "{way}");

        ways.echo.set(Mood::Unavailable);
        for _ in 0..2 {
            assert_eq!(
                call(&channel).await.expect_err(way).code(),
                Code::Unavailable,
                "{way}"
            );
        }
        assert_eq!(channel.breaker_state(), BreakerState::Open, "{way}");
        let calls = ways.echo.calls();
        ways.echo.set(Mood::Answers);
        assert_eq!(
            call(&channel).await.expect_err(way).code(),
            Code::Unavailable,
            "{way}"
        );
        assert_eq!(
            ways.echo.calls(),
            calls,
            "{way}: the callee is not bothered"
        );

        clock.advance(Duration::from_millis(1_000));
        assert!(call(&channel).await.is_ok(), "{way}");
        assert_eq!(channel.breaker_state(), BreakerState::Closed, "{way}");
    }
}

#[tokio::test]
async fn what_is_not_served_is_unimplemented() {
    let (cast, echo) = (Cast::new(), Arc::new(Echo::default()));
    let none = Running::start(cast.server()).await;
    let identity = cast.identity(REGION, "origin");
    assert_eq!(
        call(&none.channel(&identity))
            .await
            .expect_err("none")
            .code(),
        Code::Unimplemented
    );
    let empty = Running::start(cast.server().grpc(tonic::service::Routes::default())).await;
    assert_eq!(
        call(&empty.channel(&identity))
            .await
            .expect_err("none")
            .code(),
        Code::Unimplemented
    );
    // Services may be added in several steps.
    let both = Running::start(
        cast.server()
            .grpc(tonic::service::Routes::default())
            .grpc(routes(&echo)),
    )
    .await;
    assert!(call(&both.channel(&identity)).await.is_ok());
}
