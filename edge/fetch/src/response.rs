//! An answer as it arrives.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::response::Parts;
use tokio::time::Instant;

use crate::error::{FetchError, FetchErrorKind};
use crate::exchange::Exchange;
use crate::fetcher::Shared;
use crate::gate::Turn;
use crate::{BodyLength, Lease};

/// An answer: its head, and its body as it arrives. Dropped before its end, it ends the connection, or the stream.
#[derive(Debug)]
pub struct Response {
    /// Status and fields. `Transfer-Encoding` is gone; `Content-Length` is there at most once and a number. Fields of
    /// one hop are otherwise left to the caller.
    pub head: Parts,
    /// When the request was made, by the clock, Unix milliseconds: `request_time` of RFC 9111 section 4.2.3.
    pub requested_ms: i64,
    /// When the head was there: `response_time` of the same.
    pub responded_ms: i64,
    length: BodyLength,
    address: SocketAddr,
    received: u64,
    state: State,
    shared: Arc<Shared>,
    deadline: Option<Instant>,
}

/// What an unfinished answer holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Ongoing {
    /// There until it is dropped.
    exchange: Option<Exchange>,
    lease: Lease,
    _turn: Turn,
    shared: Arc<Shared>,
}

impl Ongoing {
    pub(crate) fn new(exchange: Exchange, lease: Lease, turn: Turn, shared: Arc<Shared>) -> Self {
        Self {
            exchange: Some(exchange),
            lease,
            _turn: turn,
            shared,
        }
    }

    fn is_http2(&self) -> bool {
        matches!(self.exchange, Some(Exchange::Http2(_)))
    }

    fn is_done(&self) -> bool {
        self.exchange.as_ref().is_none_or(Exchange::is_done)
    }

    async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        match &mut self.exchange {
            Some(exchange) => exchange.next().await,
            None => Ok(None),
        }
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            self.shared.release(exchange);
        }
    }
}

#[derive(Debug)]
enum State {
    // Boxed: an answer is moved about, and most of it is this.
    Ongoing(Box<Ongoing>),
    Ended,
    Failed(FetchErrorKind),
}

pub(crate) struct Begun {
    pub(crate) head: Parts,
    pub(crate) length: BodyLength,
    pub(crate) requested_ms: i64,
    pub(crate) responded_ms: i64,
}

impl Response {
    pub(crate) fn new(begun: Begun, ongoing: Ongoing, deadline: Option<Instant>) -> Self {
        let mut response = Self {
            head: begun.head,
            requested_ms: begun.requested_ms,
            responded_ms: begun.responded_ms,
            length: begun.length,
            address: ongoing.lease.socket(),
            received: 0,
            shared: Arc::clone(&ongoing.shared),
            state: State::Ongoing(Box::new(ongoing)),
            deadline,
        };
        response.end_if_done();
        response
    }

    /// How the body is delimited.
    #[must_use]
    pub fn length(&self) -> BodyLength {
        self.length
    }

    /// Who answers.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes of the body taken so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Is all of the body here, for certain? Never so of a body that the end of the connection ends
    /// ([`BodyLength::UntilClose`]): whether anything is missing cannot be told.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Ended) && self.length != BodyLength::UntilClose
    }

    /// Some more of the body, at least one byte; `None` at its end. May be dropped while it waits, and called again.
    ///
    /// # Errors
    /// When the body is cut short, stalls, is malformed or takes too long; from then on always.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        let ongoing = match &mut self.state {
            State::Ongoing(ongoing) => ongoing,
            State::Ended => return Ok(None),
            State::Failed(kind) => return Err(FetchError::new(*kind).at(Some(self.address))),
        };
        let idle = Duration::from_millis(self.shared.config.idle_timeout_ms);
        let (until, kind) = match (Instant::now() + idle, self.deadline) {
            (until, Some(deadline)) if deadline < until => (deadline, FetchErrorKind::TotalTimeout),
            (until, _) => (until, FetchErrorKind::IdleTimeout),
        };
        let is_http2 = ongoing.is_http2();
        let next = ongoing.next();
        let result = match tokio::time::timeout_at(until, next).await {
            Ok(result) => result,
            Err(_) => Err(FetchError::new(kind)),
        };
        match result {
            Ok(Some(piece)) => {
                self.received += piece.len() as u64;
                self.shared.metrics.bytes.inc_by(piece.len() as u64);
                if is_http2 {
                    // Streams share a connection, which does not count itself.
                    self.shared.metrics.traffic.received(piece.len() as u64);
                }
                self.end_if_done();
                Ok(Some(piece))
            }
            Ok(None) => {
                self.end_if_done();
                Ok(None)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn fail(&mut self, error: FetchError) -> FetchError {
        let error = error.at(Some(self.address));
        let before = std::mem::replace(&mut self.state, State::Failed(error.kind));
        if let State::Ongoing(ongoing) = before {
            ongoing.lease.failed();
        }
        self.shared.metrics.failed(&error);
        error
    }

    /// With the last byte, not with the call after it, the connection is free for others.
    fn end_if_done(&mut self) {
        if matches!(&self.state, State::Ongoing(ongoing) if ongoing.is_done()) {
            self.state = State::Ended;
        }
    }
}
