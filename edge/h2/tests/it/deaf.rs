//! Clients that read nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::{Request, StatusCode};
use mcsp_edge_h2::{CloseReason, Closed, serve_connection};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::site::{BOUND, Site, bytes, limits};

/// A connection that its client reads of only when it is told to.
struct Deaf {
    stream: DuplexStream,
    ear: Arc<Ear>,
}

#[derive(Default)]
struct Ear {
    is_open: AtomicBool,
    waker: Mutex<Option<std::task::Waker>>,
}

impl Ear {
    fn open(&self) {
        self.is_open.store(true, Ordering::SeqCst);
        if let Some(waker) = self.waker.lock().take() {
            waker.wake();
        }
    }
}

impl AsyncRead for Deaf {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        *self.ear.waker.lock() = Some(context.waker().clone());
        if !self.ear.is_open.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_read(context, out)
    }
}

impl AsyncWrite for Deaf {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

const LENGTH: usize = 1_600_000;

/// Requests of a client that gives all room and reads nothing.
struct Asked {
    site: Arc<Site>,
    ear: Arc<Ear>,
    client: SendRequest<Bytes>,
    answers: Vec<ResponseFuture>,
    served: JoinHandle<Closed>,
    stop: watch::Sender<bool>,
}

async fn ask_without_listening(requests: u32) -> Asked {
    let site = Arc::<Site>::default();
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let (stop, stopped) = watch::channel(false);
    let served = tokio::spawn({
        let site = Arc::clone(&site);
        async move { serve_connection(Box::new(ours), &limits(), &site, stopped).await }
    });
    let ear = Arc::<Ear>::default();
    let stream = Deaf {
        stream: theirs,
        ear: Arc::clone(&ear),
    };
    let mut builder = h2::client::Builder::new();
    builder
        .initial_window_size(16 << 20)
        .initial_connection_window_size(64 << 20);
    let (mut client, connection) = builder.handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut answers = Vec::new();
    for _ in 0..requests {
        let uri = format!("https://a.example/pieces/{LENGTH}");
        let request = Request::get(uri).body(()).unwrap();
        answers.push(client.send_request(request, true).unwrap().0);
    }
    Asked {
        site,
        ear,
        client,
        answers,
        served,
        stop,
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_gives_room_and_reads_nothing_keeps_little_here_and_then_gets_all() {
    let asked = ask_without_listening(limits().streams_max).await;
    // The clock stands while anything can be done: then all has been done that can be.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let taken = asked.site.taken.load(Ordering::SeqCst);
    assert!((1 << 20..5 << 19).contains(&taken), "{taken}");
    asked.ear.open();
    for answer in asked.answers {
        let answer = tokio::time::timeout(BOUND, answer).await.unwrap().unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let mut body = answer.into_body();
        let mut whole = Vec::new();
        while let Some(piece) = body.data().await {
            let piece = piece.unwrap();
            body.flow_control().release_capacity(piece.len()).unwrap();
            whole.extend_from_slice(&piece);
        }
        assert!(whole == bytes(LENGTH), "{}", whole.len());
    }
    drop(asked.client);
    assert_eq!(asked.served.await.unwrap().reason, CloseReason::Client);
}

#[tokio::test(start_paused = true)]
async fn one_that_goes_on_reading_nothing_is_cut_off() {
    let asked = ask_without_listening(limits().streams_max).await;
    let closed = tokio::time::timeout(BOUND * 2, asked.served).await.unwrap();
    assert_eq!(closed.unwrap().reason, CloseReason::TooSlow);
    assert_eq!(asked.site.running.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn one_that_has_gone_without_a_word_does_not_keep_a_node_from_ending() {
    let asked = ask_without_listening(0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    asked.stop.send_replace(true);
    let closed = tokio::time::timeout(Duration::from_secs(5), asked.served).await;
    assert_eq!(closed.unwrap().unwrap().reason, CloseReason::Stopped);
}
