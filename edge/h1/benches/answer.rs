//! What an answer of 1 KiB costs: CPU time of the serving thread for each request, beside a bare loop that reads, looks
//! for the head's end and writes the same bytes. `cargo bench -p mcsp-edge-h1`; the difference is this crate's own cost.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fs;
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;

use bytes::{Bytes, BytesMut};
use http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, DATE, ETAG, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use mcsp_edge_h1::{
    Delegation, Exchange, FieldLines, Handler, Head, Limits, Next, Peer, Refusal, serve_connection,
};
use mcsp_edge_traffic::TcpConnection;
use pingora_core::protocols::Stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;

const BODY_BYTES: usize = 1024;
const REQUESTS: usize = 200_000;
const PASSES: usize = 5;
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const REQUEST: &[u8] = b"GET /media/ng/0190a7c4/v/720p/seg-00042.m4s?session=1 HTTP/1.1\r\nHost: los1.edge.test:8080\r\n\
    User-Agent: bench/1.0\r\nAccept: */*\r\nAccept-Encoding: gzip, br\r\n\r\n";

fn main() {
    println!("connections  bare µs  ours µs  (median of {PASSES} passes of {REQUESTS} requests)");
    for connections in [1, 32] {
        let mut costs = [Vec::new(), Vec::new()];
        for _ in 0..PASSES {
            costs[0].push(measure(connections, bare));
            costs[1].push(measure(connections, ours));
        }
        let [bare, ours] = costs.map(|mut passes| {
            passes.sort_by(f64::total_cmp);
            passes[PASSES / 2]
        });
        println!("{connections:>11}  {bare:>7.2}  {ours:>7.2}");
    }
}

/// CPU µs a request of a thread that serves `connections`, each by `serve`.
fn measure<F>(connections: usize, serve: fn(tokio::net::TcpStream) -> F) -> f64
where
    F: Future<Output = ()> + Send + 'static,
{
    let (address, bound) = mpsc::channel();
    let server = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            address.send(listener.local_addr().unwrap()).unwrap();
            let mut tasks = Vec::new();
            for _ in 0..connections {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                tasks.push(tokio::spawn(serve(stream)));
            }
            let before = thread_cpu_ns();
            for task in tasks {
                task.await.unwrap();
            }
            thread_cpu_ns() - before
        })
    });
    load(bound.recv().unwrap(), connections);
    server.join().unwrap() as f64 / 1000.0 / REQUESTS as f64
}

/// One request at a time on each connection, all connections at once.
fn load(address: SocketAddr, connections: usize) {
    let mut clients: Vec<TcpStream> = (0..connections)
        .map(|_| {
            let client = TcpStream::connect(address).unwrap();
            client.set_nodelay(true).unwrap();
            client
        })
        .collect();
    let mut buffer = vec![0; 4096];
    for _ in 0..REQUESTS / connections {
        for client in &mut clients {
            client.write_all(REQUEST).unwrap();
        }
        for client in &mut clients {
            let mut received = 0;
            let mut wanted = usize::MAX;
            while received < wanted {
                received += client.read(&mut buffer[received..]).unwrap();
                if wanted == usize::MAX
                    && let Some(end) = buffer[..received]
                        .windows(4)
                        .position(|end| end == b"\r\n\r\n")
                {
                    wanted = end + 4 + BODY_BYTES;
                }
            }
        }
    }
}

fn thread_cpu_ns() -> u64 {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    schedstat.split(' ').next().unwrap().parse().unwrap()
}

async fn bare(mut stream: tokio::net::TcpStream) {
    let mut answer = BytesMut::from(
        "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 1024\r\n\r\n",
    );
    answer.extend_from_slice(&[b'x'; BODY_BYTES]);
    let mut buffer = vec![0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.unwrap();
        if read == 0 {
            return;
        }
        assert!(buffer[..read].ends_with(b"\r\n\r\n"));
        stream.write_all(&answer).await.unwrap();
    }
}

async fn ours(stream: tokio::net::TcpStream) {
    let (_stop, stopped) = watch::channel(false);
    let mut fields = HeaderMap::new();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("video/mp4"));
    fields.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=86400, immutable"),
    );
    fields.insert(
        ETAG,
        HeaderValue::from_static("\"5d41402abc4b2a76b9719d911017c592\""),
    );
    fields.insert(
        DATE,
        HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"),
    );
    let hits = Hits {
        lines: FieldLines::from(&fields),
        body: [Bytes::from_static(&[b'x'; BODY_BYTES])],
    };
    let stream = Box::new(TcpConnection::from(stream));
    serve_connection(
        stream,
        &Limits {
            requests_max: 1_000_000,
            ..Limits::default()
        },
        &hits,
        stopped,
    )
    .await;
}

/// Answers as a fresh hit is answered.
struct Hits {
    lines: FieldLines,
    body: [Bytes; 1],
}

impl Handler for Hits {
    async fn on_request(&self, exchange: &mut Exchange<'_>) -> Next {
        let mut head = exchange.head(StatusCode::OK);
        head.lines(&self.lines);
        head.field_u64(&AGE, 12);
        head.field_fmt(&CACHE_STATUS, format_args!("mcsp; hit; ttl={}", 86_388));
        match exchange.send_full(head, &self.body).await {
            Ok(()) => Next::KeepAlive,
            Err(_) => Next::Close,
        }
    }

    async fn delegate(&self, _delegation: Delegation) -> Option<Stream> {
        None
    }

    fn on_refused(&self, _refusal: Refusal, _peer: &Peer) {}

    fn fields(&self, _head: &mut Head) {}
}
