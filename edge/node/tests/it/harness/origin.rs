//! An origin over mTLS: media, API and storage as a test says, and the edge feed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::StreamExt as _;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use mcsp_api::proto::feed::edge_feed_server::EdgeFeedServer;
use mcsp_identity::{IdentityConfig, WorkloadIdentity};
use parking_lot::Mutex;
use reqwest::header::HeaderMap;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::feed::TestFeed;

/// Where a node asks for keys.
const KEYS_PATH: &str = "/.well-known/jwks.json";

/// A request as it reached the origin.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What a path answers.
#[derive(Clone)]
pub(crate) struct Serve {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    /// Bytes after which the body breaks off.
    pub(crate) broken_at: Option<usize>,
    /// The body's second half waits for this; that of a part does not.
    pub(crate) gate: Option<Arc<Notify>>,
    /// Are parts given to who asks for them?
    pub(crate) is_ranged: bool,
    /// Nothing is said before it has a permit.
    pub(crate) turn: Option<Arc<Semaphore>>,
}

impl Serve {
    pub(crate) fn ok(body: impl Into<Bytes>) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: body.into(),
            broken_at: None,
            gate: None,
            is_ranged: false,
            turn: None,
        }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::ok("")
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Says its whole length and breaks off after `bytes`.
    pub(crate) fn broken_at(mut self, bytes: usize) -> Self {
        self.broken_at = Some(bytes);
        self
    }

    pub(crate) fn gated(mut self, gate: &Arc<Notify>) -> Self {
        self.gate = Some(Arc::clone(gate));
        self
    }

    /// Waits for one of these permits before it says anything.
    pub(crate) fn in_turn(mut self, turn: &Arc<Semaphore>) -> Self {
        self.turn = Some(Arc::clone(turn));
        self
    }

    /// Gives parts.
    pub(crate) fn ranged(mut self) -> Self {
        self.is_ranged = true;
        self
    }

    /// The part that is asked for as `bytes=FIRST-LAST` or `bytes=FIRST-`.
    fn part(&self, asked: &HeaderMap) -> Option<Self> {
        let range = asked
            .get("range")
            .filter(|_| self.is_ranged)?
            .to_str()
            .ok()?;
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        let first: usize = first.parse().ok()?;
        let end = last.parse().map_or(self.body.len(), |last: usize| last + 1);
        let end = end.min(self.body.len());
        let content_range = format!("bytes {first}-{}/{}", end - 1, self.body.len());
        let part = Self {
            status: 206,
            headers: self.headers.clone(),
            ..Self::ok(self.body.slice(first..end))
        };
        Some(part.with("content-range", &content_range))
    }

    fn into_response(self) -> Response {
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(*name, value);
        }
        response = response.header("content-length", self.body.len());
        let cut = self.broken_at.unwrap_or(self.body.len());
        let half = cut / 2;
        let first = self.body.slice(..half);
        let second = self.body.slice(half..cut);
        let (gate, is_broken) = (self.gate, self.broken_at.is_some());
        let rest = futures::stream::once(async move {
            if let Some(gate) = gate {
                gate.notified().await;
            }
            Ok::<_, std::io::Error>(second)
        });
        let end =
            futures::stream::iter(is_broken.then(|| Err(std::io::Error::other("broken off"))));
        let stream = futures::stream::iter([Ok(first)]).chain(rest).chain(end);
        response.body(Body::from_stream(stream)).unwrap()
    }
}

#[derive(Default)]
struct Script {
    serve: Mutex<HashMap<String, Serve>>,
    seen: Mutex<Vec<Seen>>,
}

/// The origin; stops when dropped.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    pub(crate) feed: TestFeed,
    script: Arc<Script>,
    /// Cuts every connection and refuses new ones while true.
    away: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
        self.away.send_replace(true);
    }
}

impl Origin {
    pub(crate) async fn start(identity: &IdentityConfig) -> Self {
        let identity = WorkloadIdentity::load(identity).unwrap();
        let acceptor = TlsAcceptor::from(identity.server_config(&[b"h2", b"http/1.1"]).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Script::default());
        let feed = TestFeed::default();
        let router = Router::new()
            .fallback(serve)
            .with_state(Arc::clone(&script))
            .route_service(
                "/mcsp.feed.v1.EdgeFeed/{*call}",
                EdgeFeedServer::new(feed.clone()),
            );
        let away = watch::Sender::new(false);
        let watch = away.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if *watch.borrow() {
                    continue;
                }
                tokio::spawn(connection(
                    stream,
                    acceptor.clone(),
                    router.clone(),
                    watch.subscribe(),
                ));
            }
        });
        Self {
            address,
            feed,
            script,
            away,
            task,
        }
    }

    /// From now on the path answers this; others answer 404.
    pub(crate) fn serve(&self, path: &str, serve: Serve) {
        self.script.serve.lock().insert(path.to_owned(), serve);
    }

    /// What came for clients: not the feed, nor the node's own questions for keys, which come when they come.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let mut seen = self.script.seen.lock().clone();
        seen.retain(|seen| !seen.path.ends_with(KEYS_PATH));
        seen
    }

    /// How often nodes asked for keys; over HTTP/2, so by the whole address.
    pub(crate) fn asked_for_keys(&self) -> usize {
        let seen = self.script.seen.lock();
        let is_it = |seen: &&Seen| seen.path.ends_with(KEYS_PATH);
        seen.iter().filter(is_it).count()
    }

    /// How often a path was asked for.
    pub(crate) fn count(&self, path: &str) -> usize {
        let seen = self.script.seen.lock();
        seen.iter().filter(|seen| seen.path == path).count()
    }

    pub(crate) fn set_away(&self, is_away: bool) {
        self.away.send_replace(is_away);
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    router: Router,
    mut away: watch::Receiver<bool>,
) {
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let builder = Builder::new(TokioExecutor::new());
    let connection =
        builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::select! {
        _ = connection => {}
        _ = away.wait_for(|away| *away) => {}
    }
}

async fn serve(State(script): State<Arc<Script>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.to_string();
    let bare = parts.uri.path().to_owned();
    let body = axum::body::to_bytes(body, 64 << 20)
        .await
        .unwrap_or_default();
    script.seen.lock().push(Seen {
        method: parts.method.to_string(),
        path,
        headers: parts.headers.clone(),
        body,
    });
    let found = script.serve.lock().get(&bare).cloned();
    let Some(found) = found else {
        return (axum::http::StatusCode::NOT_FOUND, "no such thing").into_response();
    };
    if let Some(turn) = &found.turn {
        turn.acquire().await.unwrap().forget();
    }
    let etag = found
        .headers
        .iter()
        .find(|(name, _)| *name == "etag")
        .map(|(_, value)| value.clone());
    let asked = parts
        .headers
        .get("if-none-match")
        .and_then(|value| value.to_str().ok());
    if found.status == 200 && etag.is_some() && etag.as_deref() == asked {
        let mut not_modified = Response::builder().status(304);
        for (name, value) in &found.headers {
            not_modified = not_modified.header(*name, value);
        }
        return not_modified.body(Body::empty()).unwrap();
    }
    let part = found.part(&parts.headers);
    part.unwrap_or(found).into_response()
}
