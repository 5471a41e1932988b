//! The gate: every route has a log line, metrics and a trace.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::BodyExt;
use mcsp_identity::{CallerTable, Peer, SpiffeId};
use mcsp_rpc::RpcChannel;
use mcsp_telemetry::{JsonLogs, Outcome, TraceContext, red_metrics, with_trace};
use serde_json::Value;
use std::sync::Mutex;
use tower::ServiceExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;

use crate::endpoints::{grpc_methods, rest, routed_paths};
use crate::support::{Machine, SOON, from_edge, request, send, whole_region};

#[derive(Debug, Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Captured {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Captured {
    /// The access lines of a trace.
    fn of(&self, trace: &TraceContext) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter(|line| line["target"] == "access" && line["trace_id"] == trace.trace_id_hex())
            .collect()
    }
}

fn fresh_trace() -> TraceContext {
    static SEED: AtomicU64 = AtomicU64::new(1);
    let seed = SEED.fetch_add(1, Ordering::SeqCst);
    TraceContext::root(&*mcsp_runtime::SeededEntropy::new(seed), 1.0)
}

fn counted(service: &str, route: &str, method: &str) -> u64 {
    let red = red_metrics().unwrap();
    [
        Outcome::Ok,
        Outcome::ClientError,
        Outcome::ServerError,
        Outcome::Aborted,
    ]
    .into_iter()
    .map(|outcome| red.count(service, route, method, outcome))
    .sum()
}

/// Asserts the three for one call that was made in `trace`.
fn assert_three(
    captured: &Captured,
    trace: &TraceContext,
    traceparent: Option<&str>,
    label: (&str, &str, &str),
    before: u64,
) {
    let (service, route, method) = label;
    let lines = captured.of(trace);
    let line = lines
        .iter()
        .find(|line| line["route"] == route && line["service"] == service);
    let line = line
        .unwrap_or_else(|| panic!("{method} {route}: no log line of {service} among {lines:?}"));
    assert_eq!(line["method"], method, "{route}");
    assert_eq!(
        line["parent_span_id"],
        trace.span_id_hex(),
        "{method} {route}: the trace does not go on"
    );
    assert_eq!(
        counted(service, route, method),
        before + 1,
        "{method} {route}: not counted"
    );
    let answered = traceparent.and_then(TraceContext::parse);
    assert_eq!(
        answered.map(|answered| answered.trace_id),
        Some(trace.trace_id),
        "{method} {route}: no traceparent in the answer"
    );
}

fn logs() -> (Captured, tracing::subscriber::DefaultGuard) {
    let captured = Captured::default();
    let subscriber = tracing_subscriber::registry().with(JsonLogs::new("test", captured.clone()));
    (captured, tracing::subscriber::set_default(subscriber))
}

async fn check_route(
    captured: &Captured,
    router: &Router,
    service: &str,
    method: &str,
    route: &str,
) {
    let path = route
        .replace("{*rest}", "a/b")
        .replace("{*path}", "app.js")
        .replace("{*key}", "a/b")
        .replace("{residency}", "global")
        .replace(['{', '}'], "");
    let trace = fresh_trace();
    let before = counted(service, route, method);
    let mut request = from_edge(
        request(Method::from_bytes(method.as_bytes()).unwrap(), &path, None),
        None,
    );
    request
        .headers_mut()
        .insert("traceparent", trace.header_value().parse().unwrap());
    let answer = send(router, request).await;
    let traceparent = answer
        .headers
        .get("traceparent")
        .map(|value| value.to_str().unwrap());
    assert_three(
        captured,
        &trace,
        traceparent,
        (service, route, method),
        before,
    );
}

#[tokio::test]
async fn every_rest_route_has_logs_metrics_and_a_trace() {
    let machine = Machine::new();
    let region = whole_region(&machine).await;
    let (captured, _guard) = logs();
    let api = region.api.expect("the role is there");
    for endpoint in rest() {
        check_route(
            &captured,
            &api,
            endpoint.service,
            &endpoint.method,
            &endpoint.path,
        )
        .await;
    }
    // What matches nothing is seen too, under one label.
    let trace = fresh_trace();
    let mut nothing = from_edge(request(Method::GET, "/api/v1/nothing", None), None);
    nothing
        .headers_mut()
        .insert("traceparent", trace.header_value().parse().unwrap());
    let answer = send(&api, nothing).await;
    assert_eq!(answer.json()["trace_id"], trace.trace_id_hex());
    assert_eq!(captured.of(&trace)[0]["route"], "unmatched");
}

#[tokio::test]
async fn every_route_of_media_pages_and_storage_has_logs_metrics_and_a_trace() {
    let machine = Machine::new();
    let region = whole_region(&machine).await;
    let (captured, _guard) = logs();
    for (source, service, router) in [
        (
            "origin/media-origin/src/lib.rs",
            "media-origin",
            region.media.expect("media"),
        ),
        ("origin/node/src/web.rs", "web", region.web.expect("pages")),
        (
            "origin/objects/src/endpoint/mod.rs",
            "s3",
            region.s3.expect("storage").router(),
        ),
    ] {
        let paths = routed_paths(source);
        assert!(!paths.is_empty(), "{source}");
        for route in paths {
            check_route(&captured, &router, service, "GET", &route).await;
        }
    }
}

#[tokio::test]
async fn every_grpc_method_has_logs_metrics_and_a_trace() {
    let machine = Machine::new();
    let region = whole_region(&machine).await;
    let (captured, _guard) = logs();
    let callers = CallerTable::embedded().unwrap();
    for method in grpc_methods() {
        let interface = method.trim_start_matches('/').split('/').next().unwrap();
        let service = interface.split('.').nth(1).unwrap();
        let caller = [
            ("ng-lagos", "origin"),
            ("edge", "los1"),
            ("ng-lagos", "operator"),
        ]
        .into_iter()
        .map(|(namespace, account)| SpiffeId::new("mcsp.internal", namespace, account).unwrap())
        .find(|caller| callers.allows(caller, "ng-lagos", interface))
        .unwrap_or_else(|| panic!("{interface}: nobody may call it"));
        let channel =
            RpcChannel::in_process_with(region.grpc.clone(), caller, "ng-lagos", callers.clone());
        let trace = fresh_trace();
        let before = counted(service, &method, "POST");
        // One message without fields: every method answers it, many with an error.
        let message =
            tonic::body::Body::new(http_body_util::Full::new(Bytes::from_static(&[0; 5])));
        let request = Request::post(&method)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(message)
            .unwrap();
        let call = async {
            let response = with_trace(trace, channel.oneshot(request)).await.unwrap();
            let traceparent = response.headers().get("traceparent").cloned();
            let status = response.headers().get("grpc-status").cloned();
            assert_ne!(
                status.as_ref().map(|s| s.as_bytes()),
                Some(b"12".as_slice()),
                "{method} is not served"
            );
            // A stream has no end of its own; its line is written when the caller leaves.
            let mut body = response.into_body();
            let _first = body.frame().await;
            drop(body);
            traceparent
        };
        let traceparent = tokio::time::timeout(SOON, call)
            .await
            .expect("every call answers");
        let traceparent = traceparent.as_ref().map(|value| value.to_str().unwrap());
        assert_three(
            &captured,
            &trace,
            traceparent,
            (service, &method, "POST"),
            before,
        );
    }
}

#[tokio::test]
async fn a_router_without_the_layer_fails_the_gate() {
    let (captured, _guard) = logs();
    let bare = Router::new().route("/bare", axum::routing::get(async || "ok"));
    let checked =
        tokio::spawn(async move { check_route(&captured, &bare, "bare", "GET", "/bare").await });
    assert!(checked.await.expect_err("it must fail").is_panic());
    // Peers reach the routers' extensions as edges do; without one nobody is believed.
    assert!(
        request(Method::GET, "/", None)
            .extensions()
            .get::<Peer>()
            .is_none()
    );
}
