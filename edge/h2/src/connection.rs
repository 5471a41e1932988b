//! The connection loop.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Response, StatusCode};
use mcsp_edge_h1::Stop;
use mcsp_edge_limits::Flood;
use pingora_core::protocols::Stream;
use tokio::sync::watch;

use crate::backlog::{Backlog, Queued};
use crate::exchange::{Exchange, Peer};
use crate::handler::Handler;
use crate::limits::Limits;
use crate::pace::Pace;
use crate::request::{self, Refusal};
use crate::watch::{Doing, Overdue, Watch};
use crate::wire::Wire;

/// Malformed requests after which a connection is ended; good ones in between do not make up for them.
pub const MALFORMED_MAX: u32 = 32;

/// What a client may send of one body before it is read, and of all of them.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// What of one answer waits here at most to be sent, where its handler asks for room.
const SEND_BYTES_MAX: usize = 512 << 10;

/// How long a client may take to read why its connection ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// How long a client that has nothing under way may take, once the node ends, to say that it knows (RFC 9113 section 6.8).
/// One that is gone without a word never does.
const GOODBYE: Duration = Duration::from_secs(2);

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Why.
    pub reason: CloseReason,
    /// Requests that came.
    pub requests: u64,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client ended it, or it broke.
    Client,
    /// The client broke the protocol.
    Protocol,
    /// The client's preface did not come in time, or was none.
    Preface,
    /// No request came in time.
    Idle,
    /// The client took too little of what it had asked for.
    TooSlow,
    /// Too many malformed requests.
    Malformed,
    /// Too many frames that cost their sender nothing.
    Flood(Flood),
    /// The node ends.
    Stopped,
}

impl CloseReason {
    /// A short name for metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Protocol => "protocol",
            Self::Preface => "preface",
            Self::Idle => "idle",
            Self::TooSlow => "too-slow",
            Self::Malformed => "malformed",
            Self::Flood(_) => "flood",
            Self::Stopped => "stopped",
        }
    }

    /// What the client is told, where it is we who end it (RFC 9113 section 7).
    const fn told(self) -> Option<Reason> {
        match self {
            Self::Idle => Some(Reason::NO_ERROR),
            Self::TooSlow | Self::Malformed | Self::Flood(_) => Some(Reason::ENHANCE_YOUR_CALM),
            Self::Client | Self::Protocol | Self::Preface | Self::Stopped => None,
        }
    }
}

/// Serves one connection until it ends. Once `stop` shows true, the client is told (`GOAWAY`, RFC 9113 section 6.8), what
/// it has begun is answered, and the connection ends.
pub async fn serve_connection<H: Handler>(
    stream: Stream,
    limits: &Limits,
    handler: &Arc<H>,
    stop: watch::Receiver<bool>,
) -> Closed {
    let peer = Arc::new(Peer::of(&stream));
    let wire = Wire::new(stream, handler.frame_meter());
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(limits.fields_bytes_max)
        .max_pending_accept_reset_streams(limits.pending_resets_max)
        .max_local_error_reset_streams(Some(limits.error_resets_max))
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buffer_size(SEND_BYTES_MAX);
    let mut handshake = builder.handshake(wire.clone());
    let handshake = poll_fn(|context| {
        let done = Pin::new(&mut handshake).poll(context);
        // If it has to wait, it leaves with what comes next; if it fails, reading fails too.
        let _ = wire.poll_send(context);
        done
    });
    let Ok(Ok(connection)) = tokio::time::timeout(limits.preface_timeout, handshake).await else {
        return Closed {
            reason: CloseReason::Preface,
            requests: 0,
        };
    };
    let mut driver = Driver {
        connection,
        peer,
        wire: wire.clone(),
        limits,
        handler,
        stop: Stop::new(stop),
        is_stopping: false,
        watch: Watch::new(limits),
        under_way: UnderWay::default(),
        backlog: Arc::default(),
        requests: 0,
        malformed: 0,
    };
    let reason = poll_fn(|context| driver.poll(context)).await;
    if let Some(told) = reason.told() {
        driver.connection.abrupt_shutdown(told);
        // Whether it arrives or not, the connection ends.
        let closed = poll_fn(|context| {
            let closed = driver.connection.poll_closed(context);
            let _ = wire.poll_send(context);
            closed
        });
        let _ = tokio::time::timeout(FAREWELL, closed).await;
    }
    Closed {
        reason,
        requests: driver.requests,
    }
}

/// Handlers that became tasks.
#[derive(Debug, Clone, Default)]
struct UnderWay(Arc<AtomicU32>);

impl UnderWay {
    fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn enter(&self) -> Entered {
        self.0.fetch_add(1, Ordering::Relaxed);
        Entered(self.clone())
    }
}

/// Counts a handler until it is dropped.
struct Entered(UnderWay);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Driver<'c, H> {
    connection: Connection<Wire, Queued>,
    peer: Arc<Peer>,
    wire: Wire,
    limits: &'c Limits,
    handler: &'c Arc<H>,
    stop: Stop,
    is_stopping: bool,
    watch: Watch,
    under_way: UnderWay,
    backlog: Arc<Backlog>,
    requests: u64,
    malformed: u32,
}

impl<H: Handler> Driver<'_, H> {
    /// Everything that can be done now. What handlers have answered within goes out before this waits.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<CloseReason> {
        if !self.is_stopping && self.stop.poll_stopped(context).is_ready() {
            self.is_stopping = true;
            self.connection.graceful_shutdown();
            self.watch.hurry(GOODBYE);
        }
        loop {
            match self.connection.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    if !self.begin(context, request, respond) {
                        return Poll::Ready(CloseReason::Malformed);
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(self.reason_of(&error)),
                Poll::Ready(None) if self.is_stopping => return Poll::Ready(CloseReason::Stopped),
                Poll::Ready(None) => return Poll::Ready(CloseReason::Client),
                Poll::Pending => break,
            }
        }
        if let Some(flood) = self.wire.flood() {
            return Poll::Ready(CloseReason::Flood(flood));
        }
        if let Poll::Ready(Err(_)) = self.wire.poll_send(context) {
            return Poll::Ready(CloseReason::Client);
        }
        let doing = || Doing {
            requests: self.requests,
            taken: self.wire.taken(),
            is_at_work: self.under_way.count() > 0,
            has_streams: self.connection.has_streams(),
        };
        self.watch
            .poll_overdue(context, doing)
            .map(|overdue| match overdue {
                Overdue::Idle if self.is_stopping => CloseReason::Stopped,
                Overdue::Idle => CloseReason::Idle,
                Overdue::TooSlow => CloseReason::TooSlow,
            })
    }

    fn reason_of(&self, error: &h2::Error) -> CloseReason {
        match () {
            () if self.is_stopping => CloseReason::Stopped,
            () if error.is_library() => CloseReason::Protocol,
            () => CloseReason::Client,
        }
    }

    /// Has a request answered, as far as that goes without waiting. False: it was one too many that is malformed.
    fn begin(
        &mut self,
        context: &mut Context<'_>,
        request: Request<RecvStream>,
        mut respond: SendResponse<Queued>,
    ) -> bool {
        self.requests += 1;
        let (parts, body) = request.into_parts();
        if let Err(refusal) = request::check(&parts) {
            self.handler.on_refused(refusal, &self.peer);
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::BAD_REQUEST;
            if respond.send_response(response, true).is_err() {
                respond.send_reset(Reason::PROTOCOL_ERROR);
            }
            self.malformed += 1;
            return self.malformed < MALFORMED_MAX;
        }
        if self.under_way.count() >= self.limits.streams_max {
            // The streams of those may be long gone: a client that resets what it asks for has it done all the same.
            self.handler.on_refused(Refusal::TooMany, &self.peer);
            respond.send_reset(Reason::REFUSED_STREAM);
            return true;
        }
        let peer = Arc::clone(&self.peer);
        let pace = Pace::new(self.limits);
        let backlog = Arc::clone(&self.backlog);
        let exchange = Exchange::new(parts, body, respond, peer, pace, backlog);
        let mut answering = Box::pin(Arc::clone(self.handler).on_request(exchange));
        if answering.as_mut().poll(context).is_pending() {
            let entered = self.under_way.enter();
            tokio::spawn(async move {
                answering.await;
                drop(entered);
            });
        }
        true
    }
}
