//! One address is asked: on a kept connection, else on a new one.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::RANGE;
use http::response::Parts;
use pingora_core::protocols::Stream;
use pingora_core::protocols::http::client::HttpSession;
use pingora_core::protocols::http::v2::client::Http2Session;
use pingora_core::upstreams::peer::{HttpPeer, Peer};
use tokio::time::Instant;

use crate::connection::{Connection, HeadLimits, OnInterim};
use crate::error::{Fault, FetchError, FetchErrorKind};
use crate::exchange::Exchange;
use crate::fetcher::Shared;
use crate::http2::{Http2Stream, NoHead};
use crate::response::Begun;
use crate::{BodyLength, FetchRequest, Lease, PeerTimeouts, Target};

/// What is asked of whom.
pub(crate) struct Asked<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) request: &'a FetchRequest,
    pub(crate) target: &'a Target,
    pub(crate) lease: &'a Lease,
    pub(crate) deadline: Option<Instant>,
}

/// When a head was asked for.
struct Started {
    at: Instant,
    requested_ms: i64,
}

impl Asked<'_> {
    /// Asks, over the version of HTTP that the target speaks.
    pub(crate) async fn ask(
        &self,
        on_interim: OnInterim<'_>,
    ) -> Result<(Begun, Exchange), FetchError> {
        let Some(peer) = self.target.peer(self.lease, &self.timeouts()) else {
            return Err(FetchError::new(FetchErrorKind::NoAddress));
        };
        let (begun, exchange) = if self.target.speaks_http2() {
            self.ask_http2(&peer, on_interim).await?
        } else {
            self.ask_http1(&peer, on_interim).await?
        };
        if begun.head.status == StatusCode::PARTIAL_CONTENT
            && !self.request.headers.contains_key(RANGE)
        {
            self.shared.release(exchange);
            let fault = FetchErrorKind::Protocol(Fault::UnaskedPart);
            return Err(FetchError::new(fault));
        }
        Ok((begun, exchange))
    }

    async fn ask_http1(
        &self,
        peer: &HttpPeer,
        on_interim: OnInterim<'_>,
    ) -> Result<(Begun, Exchange), FetchError> {
        if let Some(result) = self.ask_on_kept(peer, on_interim).await {
            return result;
        }
        let connecting = self.shared.transport().new_stream(peer);
        let stream = self.connect(connecting).await?;
        self.ask_on_new(stream, peer, on_interim).await
    }

    /// `None` when no connection is kept, or the one that was is closed: no fault of the address.
    async fn ask_on_kept(
        &self,
        peer: &HttpPeer,
        on_interim: OnInterim<'_>,
    ) -> Option<Result<(Begun, Exchange), FetchError>> {
        let stream = self.shared.transport().reused_stream(peer).await?;
        self.shared.metrics.connected(true);
        let mut connection = Connection::new(stream);
        match self.converse(&mut connection, on_interim).await {
            Err(error)
                if error.kind == FetchErrorKind::Reset
                    && !connection.has_received()
                    && self.request.method.is_idempotent() =>
            {
                self.shared.metrics.retries.inc();
                None
            }
            result => Some(result.map(|begun| (begun, http1(connection, peer)))),
        }
    }

    async fn ask_on_new(
        &self,
        stream: Stream,
        peer: &HttpPeer,
        on_interim: OnInterim<'_>,
    ) -> Result<(Begun, Exchange), FetchError> {
        self.shared.metrics.connected(false);
        let mut connection = Connection::new(self.shared.metrics.traffic.count(stream));
        let begun = self.converse(&mut connection, on_interim).await?;
        Ok((begun, http1(connection, peer)))
    }

    /// A connection whose upstream chose HTTP/1.1 after all is used so, and kept so.
    async fn ask_http2(
        &self,
        peer: &HttpPeer,
        on_interim: OnInterim<'_>,
    ) -> Result<(Begun, Exchange), FetchError> {
        let connector = &self.shared.connector;
        let mut session = connector.reused_http_session(peer).await.ok().flatten();
        let is_reused = session.is_some();
        if session.is_none() {
            if let Some(result) = self.ask_on_kept(peer, on_interim).await {
                return result;
            }
            let connecting = connector.new_http_session::<_, ()>(peer);
            session = match self.connect(connecting).await? {
                HttpSession::H2(session) => Some(session),
                HttpSession::H1(session) => {
                    let stream = session.into_inner();
                    return self.ask_on_new(stream, peer, on_interim).await;
                }
                HttpSession::Custom(()) => None,
            };
        }
        let Some(session) = session else {
            return Err(FetchError::new(FetchErrorKind::Connect));
        };
        match self.converse_http2(session, peer, is_reused).await {
            Ok(begun) => Ok(begun),
            // The stream was refused, or the connection was closing: no fault of the address.
            Err(NoHead {
                error,
                may_repeat: true,
            }) if is_reused && error.kind == FetchErrorKind::Reset => {
                self.shared.metrics.retries.inc();
                let connecting = connector.new_http_session::<_, ()>(peer);
                match self.connect(connecting).await? {
                    HttpSession::H2(session) => self
                        .converse_http2(session, peer, false)
                        .await
                        .map_err(|failed| failed.error),
                    _ => Err(error),
                }
            }
            Err(failed) => Err(failed.error),
        }
    }

    async fn converse_http2(
        &self,
        session: Http2Session,
        peer: &HttpPeer,
        is_reused: bool,
    ) -> Result<(Begun, Exchange), NoHead> {
        self.shared.metrics.connected(is_reused);
        let mut stream = Box::new(Http2Stream::new(session, peer.clone()));
        let host = self.lease.server_name();
        let started = self.start();
        let (until, kind) = self.head_deadline(&started);
        let conversation = stream.converse(self.request, host, self.limits(), is_reused);
        let converse = tokio::time::timeout_at(until, conversation).await;
        let result = converse.unwrap_or_else(|_| {
            Err(NoHead {
                error: FetchError::new(kind),
                may_repeat: false,
            })
        });
        match result {
            Ok(head) => Ok((self.begun(&started, head), Exchange::Http2(stream))),
            Err(failed) => {
                // The connection may have other streams.
                self.shared.release(Exchange::Http2(stream));
                Err(failed)
            }
        }
    }

    async fn connect<T>(
        &self,
        connecting: impl Future<Output = pingora_error::Result<T>>,
    ) -> Result<T, FetchError> {
        let connecting = Box::pin(connecting);
        let connected = match self.deadline {
            None => connecting.await,
            Some(deadline) => tokio::time::timeout_at(deadline, connecting)
                .await
                .map_err(|_| FetchError::new(FetchErrorKind::TotalTimeout))?,
        };
        connected.map_err(FetchError::connect)
    }

    /// Sends the request and reads the head.
    async fn converse(
        &self,
        connection: &mut Connection<Stream>,
        on_interim: OnInterim<'_>,
    ) -> Result<Begun, FetchError> {
        let wire = self.request.to_wire(self.lease.server_name());
        let started = self.start();
        let conversation = async {
            connection.send(&wire).await?;
            connection
                .read_head(&self.request.method, self.limits(), on_interim)
                .await
        };
        let (until, kind) = self.head_deadline(&started);
        let head = tokio::time::timeout_at(until, conversation)
            .await
            .map_err(|_| FetchError::new(kind))??;
        Ok(self.begun(&started, head))
    }

    fn start(&self) -> Started {
        Started {
            at: Instant::now(),
            requested_ms: self.shared.clock.now_ms(),
        }
    }

    fn head_deadline(&self, started: &Started) -> (Instant, FetchErrorKind) {
        let head_timeout_ms = match self.target.patience() {
            Some(patience) => patience.head_timeout_ms,
            None => self.shared.config.head_timeout_ms,
        };
        let until = started.at + Duration::from_millis(head_timeout_ms);
        match self.deadline {
            Some(deadline) if deadline < until => (deadline, FetchErrorKind::TotalTimeout),
            _ => (until, FetchErrorKind::HeadTimeout),
        }
    }

    fn begun(&self, started: &Started, (head, length): (Parts, BodyLength)) -> Begun {
        let seconds = started.at.elapsed().as_secs_f64();
        self.shared.metrics.head_seconds.observe(seconds);
        Begun {
            head,
            length,
            requested_ms: started.requested_ms,
            responded_ms: self.shared.clock.now_ms(),
        }
    }

    fn limits(&self) -> HeadLimits {
        let config = &self.shared.config;
        HeadLimits {
            bytes_max: config.head_bytes_max,
            fields_max: config.head_fields_max,
            interim_max: config.interim_max,
        }
    }

    fn timeouts(&self) -> PeerTimeouts {
        let config = &self.shared.config;
        let connect_ms = match self.target.patience() {
            Some(patience) => patience.connect_timeout_ms,
            None => config.connect_timeout_ms,
        };
        PeerTimeouts {
            connect_ms,
            read_ms: config.idle_timeout_ms,
            write_ms: config.head_timeout_ms,
            idle_ms: config.keep_ms,
        }
    }
}

fn http1(connection: Connection<Stream>, peer: &HttpPeer) -> Exchange {
    Exchange::Http1 {
        connection,
        reuse_hash: peer.reuse_hash(),
    }
}
