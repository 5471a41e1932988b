//! What a layer gives each request.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body as AxumBody;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use mcsp_runtime::SeededEntropy;
use prometheus::Registry;
use serde_json::Value;
use tower::{Layer, ServiceExt, service_fn};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt;

use crate::logging::testing::Captured;
use crate::{JsonLogs, Outcome, RedMetrics, TelemetryLayer, TraceContext, current_trace};

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

struct Fixture {
    captured: Captured,
    red: RedMetrics,
    layer: TelemetryLayer,
    _guard: DefaultGuard,
}

fn fixture() -> Fixture {
    let captured = Captured::default();
    let subscriber =
        tracing_subscriber::registry().with(JsonLogs::new("process", captured.clone()));
    let red = RedMetrics::register(&Registry::new()).expect("an empty registry");
    let layer = TelemetryLayer::new("outer")
        .with_metrics(red.clone())
        .with_entropy(SeededEntropy::new(1))
        .with_sample_ratio(0.0);
    Fixture {
        captured,
        red,
        layer,
        _guard: tracing::subscriber::set_default(subscriber),
    }
}

impl Fixture {
    fn access_lines(&self) -> Vec<Value> {
        let mut lines = self.captured.lines();
        lines.retain(|line| line["target"] == "access");
        lines
    }

    fn one_line(&self) -> Value {
        let mut lines = self.access_lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }
}

fn request(path: &str) -> Request<AxumBody> {
    Request::get(path)
        .body(AxumBody::empty())
        .expect("a request")
}

fn items() -> Router {
    Router::new()
        .route("/items/{id}", get(async || "item"))
        .route("/broken", get(async || StatusCode::INTERNAL_SERVER_ERROR))
        .route(
            "/trace",
            get(async || {
                current_trace()
                    .map(|trace| trace.header_value())
                    .unwrap_or_default()
            }),
        )
}

#[tokio::test]
async fn a_request_gets_a_line_a_count_and_a_trace() {
    let fixture = fixture();
    let router = items().layer(fixture.layer.clone());
    let response = router
        .oneshot(request("/items/7?secret=x"))
        .await
        .expect("an answer");
    let traceparent = response.headers()["traceparent"]
        .to_str()
        .expect("text")
        .to_owned();
    response.into_body().collect().await.expect("a body");

    let line = fixture.one_line();
    assert_eq!(line["service"], "outer");
    assert_eq!(line["route"], "/items/{id}");
    assert_eq!(line["path"], "/items/7");
    assert_eq!(
        (&line["status"], &line["outcome"]),
        (&200.into(), &"ok".into())
    );
    assert_eq!(line["body_bytes"], 4);
    assert!(line["duration_ms"].as_f64().is_some());
    let trace = TraceContext::parse(&traceparent).expect("a context");
    assert_eq!(line["trace_id"], trace.trace_id_hex());
    assert_eq!(line["span_id"], trace.span_id_hex());
    assert_eq!(line["sampled"], false);
    assert_eq!(
        fixture
            .red
            .count("outer", "/items/{id}", "GET", Outcome::Ok),
        1
    );
}

#[tokio::test]
async fn a_callers_trace_goes_on_and_reaches_the_handler() {
    let fixture = fixture();
    let mut request = request("/trace");
    request
        .headers_mut()
        .insert("traceparent", HeaderValue::from_static(CALLER));
    let response = items()
        .layer(fixture.layer.clone())
        .oneshot(request)
        .await
        .expect("an answer");
    let answered = response.headers()["traceparent"].clone();
    let seen = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    assert_eq!(seen, answered.as_bytes());
    let line = fixture.one_line();
    assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(line["parent_span_id"], "b7ad6b7169203331");
    assert_ne!(line["span_id"], "b7ad6b7169203331");
    assert_eq!(line["sampled"], true);
}

#[tokio::test]
async fn a_malformed_trace_begins_a_new_one() {
    let fixture = fixture();
    let mut request = request("/trace");
    request.headers_mut().insert(
        "traceparent",
        HeaderValue::from_static("00-XYZ-b7ad6b7169203331-01"),
    );
    let response = items()
        .layer(fixture.layer.clone())
        .oneshot(request)
        .await
        .expect("an answer");
    let answered = response.headers()["traceparent"]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(TraceContext::parse(&answered).is_some());
    drop(response);
    assert!(fixture.one_line().get("parent_span_id").is_none());
}

#[tokio::test]
async fn paths_that_match_nothing_share_a_label() {
    let fixture = fixture();
    let router = items().layer(fixture.layer.clone());
    for path in ["/a", "/b", "/media/SeCrEtToKeN/ng/x"] {
        let response = router
            .clone()
            .oneshot(request(path))
            .await
            .expect("an answer");
        response.into_body().collect().await.expect("a body");
    }
    assert_eq!(
        fixture
            .red
            .count("outer", "unmatched", "GET", Outcome::ClientError),
        3
    );
    assert!(!fixture.captured.text().contains("SeCrEtToKeN"));
}

#[tokio::test]
async fn a_server_error_is_logged_as_one() {
    let fixture = fixture();
    let router = items().layer(fixture.layer.clone());
    let response = router.oneshot(request("/broken")).await.expect("an answer");
    response.into_body().collect().await.expect("a body");
    assert_eq!(fixture.one_line()["level"], "ERROR");
    assert_eq!(
        fixture
            .red
            .count("outer", "/broken", "GET", Outcome::ServerError),
        1
    );
}

#[tokio::test]
async fn an_inner_layer_names_and_the_outer_one_measures() {
    let fixture = fixture();
    let inner = items().layer(TelemetryLayer::new("inner").with_metrics(fixture.red.clone()));
    let service = fixture.layer.layer(inner);
    for path in ["/items/7", "/nothing"] {
        let response = service
            .clone()
            .oneshot(request(path))
            .await
            .expect("an answer");
        response.into_body().collect().await.expect("a body");
    }
    assert_eq!(fixture.access_lines().len(), 2);
    assert_eq!(
        fixture
            .red
            .count("inner", "/items/{id}", "GET", Outcome::Ok),
        1
    );
    assert_eq!(
        fixture
            .red
            .count("inner", "unmatched", "GET", Outcome::ClientError),
        1
    );
}

#[tokio::test]
async fn an_answer_that_nobody_waited_for_is_aborted() {
    let fixture = fixture();
    let service = fixture
        .layer
        .layer(service_fn(async |_: Request<AxumBody>| {
            Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from_static(
                b"unread",
            ))))
        }));
    drop(
        service
            .clone()
            .oneshot(request("/"))
            .await
            .expect("an answer"),
    );
    let waits = fixture
        .layer
        .layer(service_fn(async |_: Request<AxumBody>| {
            std::future::pending::<Result<Response<Full<Bytes>>, std::convert::Infallible>>().await
        }));
    let mut waiting = Box::pin(waits.oneshot(request("/")));
    assert!(futures_poll(&mut waiting).is_pending());
    drop(waiting);
    let outcomes: Vec<_> = fixture
        .access_lines()
        .iter()
        .map(|line| line["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["aborted", "aborted"]);
}

fn futures_poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(std::task::Waker::noop()))
}

/// A gRPC answer: frames as given.
struct Frames(Vec<Result<Frame<Bytes>, std::io::Error>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(if self.0.is_empty() {
            None
        } else {
            Some(self.0.remove(0))
        })
    }
}

/// Calls a gRPC method whose answer has `headers` and `frames`.
async fn call_grpc(
    fixture: &Fixture,
    method: &str,
    status_in_head: Option<&'static str>,
    frames: fn() -> Vec<Result<Frame<Bytes>, std::io::Error>>,
) {
    let service = fixture
        .layer
        .layer(service_fn(move |_: Request<AxumBody>| async move {
            let mut response = Response::new(Frames(frames()));
            if let Some(status) = status_in_head {
                response
                    .headers_mut()
                    .insert("grpc-status", HeaderValue::from_static(status));
            }
            Ok::<_, std::convert::Infallible>(response)
        }));
    let mut request = request(method);
    *request.method_mut() = http::Method::POST;
    request
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    let response = service.oneshot(request).await.expect("an answer");
    let _ = response.into_body().collect().await;
}

fn trailers(status: &'static str) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    Frame::trailers(trailers)
}

#[tokio::test]
async fn a_grpc_status_decides_the_outcome() {
    const METHOD: &str = "/mcsp.auth.v1.Auth/GetKeySet";
    let fixture = fixture();
    let count = |outcome| fixture.red.count("auth", METHOD, "POST", outcome);
    call_grpc(&fixture, METHOD, None, || {
        vec![Ok(Frame::data(Bytes::from_static(b"x"))), Ok(trailers("0"))]
    })
    .await;
    assert_eq!(count(Outcome::Ok), 1);
    call_grpc(&fixture, METHOD, None, || vec![Ok(trailers("13"))]).await;
    assert_eq!(count(Outcome::ServerError), 1);
    call_grpc(&fixture, METHOD, Some("5"), Vec::new).await;
    assert_eq!(count(Outcome::ClientError), 1);
    // An answer that ends without a status, or breaks off, is an error.
    call_grpc(&fixture, METHOD, None, Vec::new).await;
    call_grpc(&fixture, METHOD, None, || {
        vec![Err(std::io::Error::other("cut"))]
    })
    .await;
    assert_eq!(count(Outcome::ServerError), 3);
    let line = fixture.access_lines().remove(1);
    assert_eq!(
        (&line["grpc_status"], &line["status"]),
        (&13.into(), &200.into())
    );
}

#[tokio::test]
async fn grpc_methods_that_do_not_exist_share_a_label() {
    let fixture = fixture();
    for method in ["/mcsp.auth.v1.Auth/A", "/mcsp.auth.v1.Auth/B"] {
        call_grpc(&fixture, method, Some("12"), Vec::new).await;
    }
    assert_eq!(
        fixture
            .red
            .count("auth", "unmatched", "POST", Outcome::ClientError),
        2
    );
}

#[tokio::test]
async fn a_content_type_alone_makes_no_label_of_a_path() {
    let fixture = fixture();
    for path in ["/api/v1/content/a", "/media/global/b", "/"] {
        call_grpc(&fixture, path, Some("7"), Vec::new).await;
    }
    let unmatched = |outcome| fixture.red.count("outer", "unmatched", "POST", outcome);
    assert_eq!(unmatched(Outcome::Ok), 3);
}
