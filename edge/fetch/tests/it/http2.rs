//! Upstreams that speak HTTP/2.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mcsp_edge_fetch::{BodyLength, Fault, FetchConfig, FetchErrorKind, FetchRequest};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::harness::{Harness, get, read};
use crate::mtls::{NAME, World, serve};

type Body = BoxBody<Bytes, io::Error>;

struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Lets the next body be cut.
    cut: Arc<Notify>,
}

impl Server {
    async fn start(config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let cut = Arc::new(Notify::new());
        tokio::spawn({
            let (connections, cut) = (Arc::clone(&connections), Arc::clone(&cut));
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::SeqCst);
                    let acceptor = TlsAcceptor::from(Arc::clone(&config));
                    let cut = Arc::clone(&cut);
                    tokio::spawn(async move {
                        let stream = acceptor.accept(stream).await.unwrap();
                        let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        let _ = server
                            .serve_connection(
                                TokioIo::new(stream),
                                service_fn(|request| answer(request, Arc::clone(&cut))),
                            )
                            .await;
                    });
                }
            }
        });
        Self {
            address,
            connections,
            cut,
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    cut: Arc<Notify>,
) -> Result<Response<Body>, Infallible> {
    let full = |text: &'static str| {
        Full::new(text.into())
            .map_err(|never| match never {})
            .boxed()
    };
    let frames = |texts: &'static [&'static str]| {
        stream::iter(texts).map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes()))))
    };
    // A reset that comes right behind the head would be taken in its stead.
    let cut_short = StreamBody::new(frames(&["one"]).chain(stream::once(async move {
        cut.notified().await;
        Err(io::Error::other("cut"))
    })));
    let mut response = Response::new(full("ok"));
    match request.uri().path() {
        "/marked" => {
            *response.body_mut() = BodyExt::boxed(StreamBody::new(frames(&["one", "", "two"])));
        }
        "/cut" => *response.body_mut() = BodyExt::boxed(cut_short),
        "/cut-known" => {
            *response.body_mut() = BodyExt::boxed(cut_short);
            response.headers_mut().insert(CONTENT_LENGTH, 9.into());
        }
        "/empty" => {
            *response.status_mut() = StatusCode::NO_CONTENT;
            *response.body_mut() = Empty::new().map_err(|never| match never {}).boxed();
        }
        "/endless" => {
            let frames = stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[7; 4_096]))));
            *response.body_mut() = BodyExt::boxed(StreamBody::new(frames));
        }
        "/large-head" => {
            let value = "x".repeat(2_000).parse().unwrap();
            response.headers_mut().insert("x", value);
        }
        _ => {}
    }
    Ok(response)
}

fn ask(path: &'static str) -> FetchRequest {
    let mut request = get();
    request.path = http::uri::PathAndQuery::from_static(path);
    request
}

#[tokio::test]
async fn many_answers_come_over_one_connection_and_their_ends_are_certain() {
    let (world, harness) = (World::new(), Harness::new());
    let server = Server::start(world.server_speaking(b"h2")).await;
    let target = world.target(server.address, NAME).over_http2();
    let mut endless = harness.fetch(&ask("/endless"), &target).await.unwrap();
    assert_eq!(endless.head.version, Version::HTTP_2);
    endless.next_chunk().await.unwrap().unwrap();
    for (path, body, length) in [
        ("/", "ok", BodyLength::Known(2)),
        ("/marked", "onetwo", BodyLength::Marked),
        ("/empty", "", BodyLength::None),
    ] {
        let mut response = harness.fetch(&ask(path), &target).await.unwrap();
        assert_eq!(response.length(), length, "{path}");
        let read = read(&mut response).await.unwrap();
        assert_eq!(read, (body.as_bytes().to_vec(), true), "{path}");
    }
    let mut head = ask("/");
    head.method = Method::HEAD;
    let response = harness.fetch(&head, &target).await.unwrap();
    assert!(response.is_complete());
    // One that is given up does not end the others' connection.
    drop(endless);
    let mut response = harness.fetch(&ask("/"), &target).await.unwrap();
    read(&mut response).await.unwrap();
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_stream_that_is_reset_cuts_the_body_short() {
    let (world, harness) = (World::new(), Harness::new());
    let server = Server::start(world.server_speaking(b"h2")).await;
    let target = world.target(server.address, NAME).over_http2();
    for path in ["/cut", "/cut-known"] {
        let mut response = harness.fetch(&ask(path), &target).await.unwrap();
        assert_eq!(response.next_chunk().await.unwrap().unwrap(), "one");
        server.cut.notify_one();
        let error = response.next_chunk().await.unwrap_err();
        assert_eq!(error.kind, FetchErrorKind::Truncated, "{path}");
        assert!(!response.is_complete());
    }
}

#[tokio::test]
async fn heads_are_bounded() {
    let world = World::new();
    let harness = Harness::with(FetchConfig {
        head_bytes_max: 1_024,
        ..FetchConfig::default()
    });
    let server = Server::start(world.server_speaking(b"h2")).await;
    let target = world.target(server.address, NAME).over_http2();
    let error = harness
        .fetch(&ask("/large-head"), &target)
        .await
        .unwrap_err();
    assert_eq!(error.kind, FetchErrorKind::Protocol(Fault::HeadSize));
}

#[tokio::test]
async fn an_upstream_that_has_only_http1_is_asked_so() {
    let (world, harness) = (World::new(), Harness::new());
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let address = serve(world.server_speaking(b"http/1.1"), vec![ok; 2], true).await;
    let target = world.target(address, NAME).over_http2();
    for _ in 0..2 {
        let mut response = harness.fetch(&get(), &target).await.unwrap();
        assert_eq!(response.head.version, Version::HTTP_11);
        assert_eq!(read(&mut response).await.unwrap(), (b"ok".to_vec(), true));
    }
}
