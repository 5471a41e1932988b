//! HTTP/2, against a server of the same library's other side.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::future::BoxFuture;
use mcsp_loadtest_scenario::HttpVersion;
use mcsp_loadtest_wire::{
    Body, BoxedIo, Client, Connect, FailureKind, Framing, Link, Request, Upload,
};

use crate::support::{TARGET, get, network, url};

/// Answers `/a` with a body, `/cut` with less than it says, `/reset` with a reset after the head, `/broken` with one before it; a PUT
/// with what it got. The first connection refuses `/refused`.
#[derive(Default)]
struct Server {
    connections: Arc<AtomicU64>,
}

impl Connect for Server {
    fn connect(&self, _: Option<IpAddr>, _: SocketAddr) -> BoxFuture<'_, io::Result<BoxedIo>> {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(64 << 10);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(theirs).await.expect("a handshake");
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    match request.uri().path() {
                        "/broken" => respond.send_reset(h2::Reason::INTERNAL_ERROR),
                        "/refused" if number == 0 => respond.send_reset(h2::Reason::REFUSED_STREAM),
                        _ => drop(tokio::spawn(answer(request, respond))),
                    }
                }
            });
            Ok(Box::new(ours) as BoxedIo)
        })
    }
}

async fn answer(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
) {
    let path = request.uri().path().to_owned();
    let mut body = request.into_body();
    let mut got = 0;
    while let Some(Ok(piece)) = body.data().await {
        got += piece.len();
        let _ = body.flow_control().release_capacity(piece.len());
    }
    let whole = vec![b'x'; 400_000];
    let mut head = http::Response::builder().status(200).header("x-got", got);
    if path != "/open" {
        head = head.header("content-length", whole.len());
    }
    let Ok(mut stream) = respond.send_response(head.body(()).expect("a head"), false) else {
        return;
    };
    let sent = if path == "/cut" {
        &whole[..1_000]
    } else {
        &whole[..]
    };
    if path == "/reset" {
        let _ = stream.send_data(Bytes::from_static(b"x"), false);
        tokio::task::yield_now().await;
        stream.send_reset(h2::Reason::INTERNAL_ERROR);
        return;
    }
    let _ = stream.send_data(Bytes::copy_from_slice(sent), true);
}

fn user() -> Client {
    Client::new(
        network(Arc::new(Server::default())),
        HttpVersion::H2,
        None,
        Link::unbounded(),
    )
}

#[tokio::test(start_paused = true)]
async fn a_body_comes_whole_through_windows_and_the_connection_is_kept() {
    let mut client = user();
    let (first, body) = get(&mut client, TARGET).await.expect("an answer");
    assert_eq!(body.len(), 400_000);
    assert_eq!(first.framing, Framing::Length(400_000));
    assert!(first.is_h2 && first.times.connect_us.is_some());
    let (second, body) = get(&mut client, "http://127.0.0.1:1/open")
        .await
        .expect("an answer");
    assert_eq!((second.framing, body.len()), (Framing::Stream, 400_000));
    assert_eq!(second.times.connect_us, None);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_cut_or_reset_is_truncated() {
    for path in ["cut", "reset"] {
        let failure = get(&mut user(), &format!("http://127.0.0.1:1/{path}"))
            .await
            .unwrap_err();
        assert_eq!(failure.kind, FailureKind::Truncated, "{path}");
        assert_eq!(failure.status, Some(200));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_is_told_and_one_that_nobody_looked_at_is_asked_again() {
    let mut client = user();
    // On a connection that is kept, where a mere end would say nothing about the node.
    get(&mut client, TARGET).await.expect("an answer");
    let broken = get(&mut client, "http://127.0.0.1:1/broken").await;
    assert_eq!(broken.unwrap_err().kind, FailureKind::Protocol);

    let mut client = user();
    get(&mut client, TARGET).await.expect("an answer");
    let (answer, _) = get(&mut client, "http://127.0.0.1:1/refused")
        .await
        .expect("an answer");
    assert!(answer.times.connect_us.is_some(), "by another connection");
}

struct Zeros {
    breaks_after: Option<u64>,
}

impl Upload for Zeros {
    fn length(&self) -> u64 {
        300_000
    }

    fn read_at(&self, _: u64, buffer: &mut [u8]) {
        buffer.fill(0);
    }

    fn breaks_after(&self) -> Option<u64> {
        self.breaks_after
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_arrives_whole_and_one_that_breaks_off_does_not() {
    let url = url(TARGET);
    for breaks_after in [None, Some(100_000)] {
        let mut client = user();
        let upload = Zeros { breaks_after };
        let request = Request {
            method: http::Method::PUT,
            body: Body::Upload(&upload),
            ..Request::get(&url, &[])
        };
        let outcome = client.send(&request, &mut |_| {}).await;
        match breaks_after {
            None => assert_eq!(outcome.expect("an answer").header("x-got"), Some("300000")),
            Some(_) => assert_eq!(outcome.unwrap_err().kind, FailureKind::BrokenOff),
        }
    }
}
