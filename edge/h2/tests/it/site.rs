//! A site of all kinds of answers, and a client of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use mcsp_edge_h2::{
    CloseReason, Closed, Exchange, Handler, Lent, Limits, Peer, Refusal, serve_connection,
};
use mcsp_edge_limits::{FrameMeter, FrameRules};
use parking_lot::Mutex;
use pingora_core::protocols::http::custom::server::Session as _;
use pingora_http::ResponseHeader;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;

/// Longest wait for anything.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

#[derive(Default)]
pub(crate) struct Site {
    /// Lets the requests for `/wait` go on.
    pub(crate) gate: Notify,
    pub(crate) running: AtomicUsize,
    pub(crate) running_max: AtomicUsize,
    pub(crate) gone: AtomicUsize,
    /// Bytes of `/pieces` that were taken for sending.
    pub(crate) taken: AtomicUsize,
    pub(crate) refused: Mutex<Vec<Refusal>>,
    /// What it was told of them.
    pub(crate) told: Mutex<Vec<String>>,
    pub(crate) frames: Option<FrameRules>,
    /// Why connections end, in the order in which they are about to.
    pub(crate) ending: Mutex<Vec<CloseReason>>,
    /// Connections that end wait for one of these, where there are any.
    pub(crate) ends: Option<Semaphore>,
}

struct Running<'s>(&'s Site);

impl<'s> Running<'s> {
    fn new(site: &'s Site) -> Self {
        let running = site.running.fetch_add(1, Ordering::SeqCst) + 1;
        site.running_max.fetch_max(running, Ordering::SeqCst);
        Self(site)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn fields(length: usize) -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert("content-length", HeaderValue::from(length));
    fields
}

/// `length` bytes, of which no two neighbours are equal.
pub(crate) fn bytes(length: usize) -> Bytes {
    (0..length).map(|at| (at % 251) as u8).collect()
}

impl Handler for Site {
    async fn on_request(self: Arc<Self>, mut exchange: Exchange) {
        let _running = Running::new(&self);
        // Taken first, as by handlers that need it while they answer.
        let path = exchange.take_request().uri.path().to_owned();
        let (word, number) = path[1..].split_once('/').unwrap_or((&path[1..], "0"));
        let length: usize = number.parse().unwrap();
        match word {
            "full" if exchange.is_head() => {
                exchange
                    .respond(StatusCode::OK, fields(length), true)
                    .unwrap();
            }
            "full" => {
                let pieces: Vec<Bytes> = bytes(length)
                    .chunks(100_000)
                    .map(Bytes::copy_from_slice)
                    .collect();
                let _ = exchange
                    .answer(StatusCode::OK, fields(length), &pieces)
                    .await;
            }
            "late" => {
                self.gate.notified().await;
                let pieces = [bytes(length)];
                let _ = exchange
                    .answer(StatusCode::OK, fields(length), &pieces)
                    .await;
            }
            "pieces" => {
                exchange
                    .respond(StatusCode::OK, fields(length), false)
                    .unwrap();
                let whole = bytes(length);
                for (nth, piece) in whole.chunks(16_000).enumerate() {
                    let is_last = (nth + 1) * 16_000 >= length;
                    let piece = Bytes::copy_from_slice(piece);
                    let bytes = piece.len();
                    if exchange.write(piece, is_last).await.is_err() {
                        return;
                    }
                    self.taken.fetch_add(bytes, Ordering::SeqCst);
                }
            }
            "early" => {
                exchange.inform(StatusCode::EARLY_HINTS, fields(7)).unwrap();
                let _ = exchange.answer(StatusCode::OK, fields(0), &[]).await;
            }
            "wait" => {
                tokio::select! {
                    () = self.gate.notified() => {
                        let _ = exchange.answer(StatusCode::OK, fields(0), &[]).await;
                    }
                    () = exchange.gone() => {
                        self.gone.fetch_add(1, Ordering::SeqCst);
                    }
                }
            }
            // Counts what comes, by way of pingora's form of a session; gated: after the gate.
            "upload" | "gated" => {
                if word == "gated" {
                    self.gate.notified().await;
                }
                let mut lent = Lent::new(exchange, HeaderValue::from_static("today"));
                let mut length = 0;
                loop {
                    match lent.read_body_bytes().await {
                        Ok(Some(piece)) => length += piece.len(),
                        Ok(None) => break,
                        Err(_) => {
                            self.gone.fetch_add(1, Ordering::SeqCst);
                            return;
                        }
                    }
                    self.taken.store(length, Ordering::SeqCst);
                }
                let mut head = ResponseHeader::build(200, None).unwrap();
                head.insert_header("x-length", length).unwrap();
                lent.write_response_header(Box::new(head), true)
                    .await
                    .unwrap();
                lent.finish().await.unwrap();
            }
            // Deaf to its client.
            "deaf" => {
                self.gate.notified().await;
            }
            "short" => {
                exchange.respond(StatusCode::OK, fields(10), false).unwrap();
                exchange
                    .write(Bytes::from_static(b"half "), false)
                    .await
                    .unwrap();
            }
            _ => exchange.cut(),
        }
    }

    fn on_refused_request(&self, request: &Parts, _peer: &Peer) {
        let line = format!("{} {}", request.method, request.uri.path());
        self.told.lock().push(line);
    }

    fn on_malformed(&self, why: &'static str, _peer: &Peer) {
        self.told.lock().push(why.to_owned());
    }

    fn on_refused(&self, refusal: Refusal, _peer: &Peer) {
        self.refused.lock().push(refusal);
    }

    async fn end(&self, reason: CloseReason, end: impl Future<Output = Closed> + Send) -> Closed {
        self.ending.lock().push(reason);
        if let Some(ends) = &self.ends {
            ends.acquire().await.unwrap().forget();
        }
        end.await
    }

    fn frame_meter(&self) -> Option<FrameMeter> {
        self.frames.as_ref().map(FrameMeter::new)
    }
}

pub(crate) fn limits() -> Limits {
    Limits {
        streams_max: 8,
        idle_timeout: Duration::from_secs(60),
        preface_timeout: Duration::from_secs(5),
        write_timeout: Duration::from_secs(10),
        fields_bytes_max: 64 << 10,
        pending_resets_max: 20,
        error_resets_max: 128,
        drain_bytes_s_min: 1024,
    }
}

/// A connection to a site.
pub(crate) struct Talk {
    pub(crate) site: Arc<Site>,
    pub(crate) client: SendRequest<Bytes>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) served: JoinHandle<Closed>,
}

impl Talk {
    pub(crate) async fn new(window: u32) -> Self {
        let site = Arc::<Site>::default();
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let (stop, stopped) = watch::channel(false);
        let served = tokio::spawn({
            let site = Arc::clone(&site);
            async move { serve_connection(Box::new(ours), &limits(), &site, stopped).await }
        });
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(window)
            .max_concurrent_reset_streams(10_000);
        let (client, connection) = builder.handshake(theirs).await.unwrap();
        tokio::spawn(connection);
        Self {
            site,
            client,
            stop,
            served,
        }
    }

    pub(crate) fn ask(&mut self, method: Method, path: &str) -> h2::client::ResponseFuture {
        let request = Request::builder()
            .method(method)
            .uri(format!("https://a.example{path}"))
            .body(())
            .unwrap();
        self.client.send_request(request, true).unwrap().0
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<(StatusCode, Vec<u8>), h2::Error> {
        let answer = self.ask(Method::GET, path);
        let talk = async {
            let answer = answer.await?;
            let status = answer.status();
            let mut body = answer.into_body();
            let mut whole = Vec::new();
            while let Some(piece) = body.data().await {
                let piece = piece?;
                whole.extend_from_slice(&piece);
                body.flow_control().release_capacity(piece.len())?;
            }
            Ok((status, whole))
        };
        tokio::time::timeout(BOUND, talk).await.unwrap()
    }

    pub(crate) async fn end(self) -> Closed {
        drop(self.client);
        tokio::time::timeout(BOUND, self.served)
            .await
            .unwrap()
            .unwrap()
    }
}
