//! HTTP interfaces behind the gate.

use axum::Router;
use axum::routing::get;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mcsp_api::{Problem, Role, UserId, ViewerIdentity, headers};
use mcsp_identity::WorkloadIdentity;
use mcsp_rpc::{EdgeContext, HTTP_API, HTTP_MEDIA, HTTP_WEB, RpcError, Viewer};
use mcsp_runtime::{ManualClock, SeededEntropy};
use mcsp_telemetry::{Outcome, TelemetryLayer, red_metrics};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::{Cast, REGION, Running};

const NOW_S: i64 = 1_800_000_000;

fn api() -> Router {
    Router::new()
        .route(
            "/api/v1/me",
            get(async |Viewer(viewer): Viewer| viewer.user_id.to_string()),
        )
        .route(
            "/api/v1/where",
            get(async |context: EdgeContext| context.pop.unwrap_or_default()),
        )
        .layer(TelemetryLayer::new("users"))
}

fn viewer() -> ViewerIdentity {
    let region = "ng".parse().unwrap();
    ViewerIdentity {
        user_id: UserId::generate(region, &*ManualClock::new(1), &*SeededEntropy::new(1)),
        role: Role::Viewer,
        session_id: "s".to_owned(),
        organisation_id: None,
        expires_s: NOW_S + 60,
    }
}

/// One request over a connection of its own, HTTP/1.1 or HTTP/2.
async fn fetch(
    running: &Running,
    identity: &WorkloadIdentity,
    is_h2: bool,
    path: &str,
    identity_header: Option<&str>,
) -> (StatusCode, http::HeaderMap, Bytes) {
    let alpn: &[u8] = if is_h2 { b"h2" } else { b"http/1.1" };
    let stream = TcpStream::connect(running.addr).await.unwrap();
    let name = ServerName::try_from("origin.ng-lagos.mcsp.internal").unwrap();
    let stream = TlsConnector::from(identity.client_config(&[alpn]).unwrap())
        .connect(name, stream)
        .await
        .unwrap();
    let mut request = Request::get(format!("https://origin{path}")).header("host", "origin");
    if let Some(value) = identity_header {
        request = request.header(headers::IDENTITY, value);
    }
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let response = if is_h2 {
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    };
    let (parts, body) = response.into_parts();
    (
        parts.status,
        parts.headers,
        body.collect().await.unwrap().to_bytes(),
    )
}

#[tokio::test]
async fn an_edges_viewer_reaches_the_service_over_both_versions() {
    let cast = Cast::new();
    let server = cast
        .server()
        .http(HTTP_API, api())
        .clock(ManualClock::new(NOW_S * 1000));
    let running = Running::start(server).await;
    let edge = cast.identity("edge", "los1");
    let header = viewer().to_header_value();
    for is_h2 in [false, true] {
        let (status, headers, body) =
            fetch(&running, &edge, is_h2, "/api/v1/me", Some(&header)).await;
        assert_eq!(
            (status, &body[..]),
            (StatusCode::OK, viewer().user_id.as_str().as_bytes())
        );
        assert!(headers.contains_key("traceparent"));
        let (status, _, body) = fetch(&running, &edge, is_h2, "/api/v1/where", None).await;
        assert_eq!((status, &body[..]), (StatusCode::OK, b"los1".as_slice()));
        let (status, _, body) = fetch(&running, &edge, is_h2, "/api/v1/me", None).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        let problem: Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (problem.status, problem.trace_id.map(|id| id.len())),
            (401, Some(32))
        );
    }
    let red = red_metrics().unwrap();
    assert_eq!(red.count("users", "/api/v1/me", "GET", Outcome::Ok), 2);
}

#[tokio::test]
async fn who_may_not_use_an_interface_gets_403_and_a_forged_identity_reaches_nobody() {
    let cast = Cast::new();
    let running = Running::start(cast.server().http(HTTP_API, api())).await;
    let header = viewer().to_header_value();
    for (namespace, account) in [
        (REGION, "media"),
        (REGION, "origin"),
        ("global-london", "origin"),
    ] {
        let peer = cast.identity(namespace, account);
        let (status, headers, body) =
            fetch(&running, &peer, true, "/api/v1/me", Some(&header)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{namespace}/{account}");
        assert_eq!(headers["content-type"], Problem::MEDIA_TYPE);
        assert_eq!(
            serde_json::from_slice::<Problem>(&body).unwrap().status,
            403
        );
    }
}

#[tokio::test]
async fn interfaces_are_apart() {
    let cast = Cast::new();
    let page = || {
        Router::new()
            .fallback(async |request: axum::extract::Request| request.uri().path().to_owned())
    };
    let server = cast
        .server()
        .http(HTTP_WEB, page())
        .http(HTTP_MEDIA, page());
    let running = Running::start(server).await;
    let edge = cast.identity("edge", "los1");
    for path in ["/", "/watch/x", "/media/ng/x/y"] {
        let (status, _, body) = fetch(&running, &edge, true, path, None).await;
        assert_eq!((status, &body[..]), (StatusCode::OK, path.as_bytes()));
    }
    // Not served here, so a problem, and not the web's pages.
    let (status, headers, _) = fetch(&running, &edge, true, "/api/v1/me", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(headers["content-type"], Problem::MEDIA_TYPE);
}

#[tokio::test]
async fn an_interface_that_is_none_does_not_start() {
    let error = Cast::new()
        .server()
        .http("http:apis", api())
        .build()
        .expect_err("no such interface");
    assert!(
        matches!(
            error,
            RpcError::Config {
                key: "interface",
                ..
            }
        ),
        "{error}"
    );
}
