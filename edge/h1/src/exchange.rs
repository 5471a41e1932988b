//! One request and its answer.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::request::Parts as RequestParts;
use http::{HeaderMap, Method, StatusCode, Version};
use mcsp_edge_mapped::Parts;
use pingora_core::protocols::Stream;
use pingora_core::protocols::l4::socket::SocketAddr as L4Address;
use pingora_core::protocols::tls::SslDigest;
use tokio::time::Instant;

use crate::answer::head::{Head, WireLength};
use crate::answer::lines::FieldLines;
use crate::error::{BodyError, SendError};
use crate::handler::Next;
use crate::limits::Limits;
use crate::output::{Extent, Output};
use crate::parse::{HeadInfo, empty_parts};
use crate::refusal::Refusal;
use crate::wire::{Arrival, Wire};

/// First size of the buffer in which heads are made.
const HEAD_BYTES: usize = 1024;

/// Who is at the other end.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// The client's address; none on what is no IP socket.
    pub address: Option<SocketAddr>,
    /// Our own address.
    pub local: Option<SocketAddr>,
    /// What the TLS handshake gave; none on a plain connection.
    pub tls: Option<Arc<SslDigest>>,
}

/// How long an answer's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// This many bytes. For `HEAD`: those that `GET` would have.
    Known(u64),
    /// Not known: sent in chunks, or to an HTTP/1.0 client until the connection's end (RFC 9112 6.3).
    Chunked,
    /// There is none.
    None,
    /// Ended by the connection's end.
    UntilClose,
}

/// One request, and the only way to answer it. Answers: [`send_full`](Self::send_full), or [`begin`](Self::begin), any
/// number of [`write`](Self::write), [`finish`](Self::finish). An answer that is begun and not finished ends the
/// connection, so that the client sees it cut.
///
/// Bodies of answers that have none (to `HEAD`, 204, 304: RFC 9110 6.4.1) are taken and dropped.
pub struct Exchange<'c> {
    wire: &'c mut Wire,
    info: HeadInfo,
    output: Output,
    body_refusal: Option<Refusal>,
    is_body_touched: bool,
    limits: &'c Limits,
    peer: &'c Peer,
    request: &'c mut RequestParts,
    arrived: Instant,
    scratch: &'c mut BytesMut,
    requests_before: u32,
    is_head: bool,
    is_old: bool,
    may_persist: bool,
    has_asked_body: bool,
}

impl<'c> Exchange<'c> {
    #[expect(
        clippy::too_many_arguments,
        reason = "one caller; they are the connection's parts"
    )]
    pub(crate) fn new(
        wire: &'c mut Wire,
        limits: &'c Limits,
        peer: &'c Peer,
        scratch: &'c mut BytesMut,
        request: &'c mut RequestParts,
        arrived: Instant,
        info: HeadInfo,
        requests_before: u32,
        may_persist: bool,
    ) -> Self {
        Self {
            output: Output::new(),
            body_refusal: None,
            is_body_touched: false,
            may_persist: may_persist && info.is_persistent,
            is_head: request.method == Method::HEAD,
            is_old: request.version == Version::HTTP_10,
            wire,
            info,
            limits,
            peer,
            request,
            arrived,
            scratch,
            requests_before,
            has_asked_body: false,
        }
    }

    /// The request. Its target has neither scheme nor authority: those of an absolute target (RFC 9112 3.2.2) are in
    /// `Host` already.
    #[must_use]
    pub const fn request(&self) -> &RequestParts {
        self.request
    }

    /// Takes the request, such as for `RequestHeader::from`, which copies nothing. Give it back with
    /// [`recycle`](Self::recycle) where that is no trouble: its memory serves the next request.
    pub fn take_request(&mut self) -> RequestParts {
        std::mem::replace(self.request, empty_parts())
    }

    /// Gives a request's memory back.
    pub fn recycle(&mut self, request: RequestParts) {
        *self.request = request;
    }

    /// When the last of its head came.
    #[must_use]
    pub const fn arrived(&self) -> Instant {
        self.arrived
    }

    /// The other end.
    #[must_use]
    pub const fn peer(&self) -> &Peer {
        self.peer
    }

    /// Requests that this connection carried before.
    #[must_use]
    pub const fn requests_before(&self) -> u32 {
        self.requests_before
    }

    /// Whether the request has a body that has not been read to its end.
    #[must_use]
    pub const fn has_body(&self) -> bool {
        !self.info.framing.is_done()
    }

    /// Whether the client asks for another protocol (RFC 9110 7.8).
    #[must_use]
    pub const fn is_upgrade(&self) -> bool {
        self.info.is_upgrade
    }

    /// Ends the connection after this answer, and says so in its head if that has not been begun.
    pub const fn close_after(&mut self) {
        self.may_persist = false;
    }

    /// Whether an answer has been begun.
    #[must_use]
    pub const fn is_answered(&self) -> bool {
        self.output.is_begun()
    }

    /// Bytes of the answer's body that went out, without framing.
    #[must_use]
    pub const fn body_bytes_sent(&self) -> u64 {
        self.output.body_bytes()
    }

    /// A head to fill, in memory that the connection keeps.
    #[must_use]
    pub fn head(&mut self, status: StatusCode) -> Head {
        let mut memory = std::mem::take(self.scratch);
        memory.clear();
        memory.reserve(HEAD_BYTES);
        Head::new(status, memory)
    }

    /// Sends an interim answer, 100 to 199 without 101 (RFC 9110 15.2). An HTTP/1.0 client gets none.
    ///
    /// # Errors
    /// The client is gone, or the answer has been begun.
    pub async fn send_interim(
        &mut self,
        status: StatusCode,
        fields: &HeaderMap,
    ) -> Result<(), SendError> {
        if self.output.is_begun()
            || !status.is_informational()
            || status == StatusCode::SWITCHING_PROTOCOLS
        {
            return Err(SendError::Order("an interim answer"));
        }
        if self.is_old {
            return Ok(());
        }
        self.has_asked_body |= status == StatusCode::CONTINUE;
        let mut head = Head::new(status, BytesMut::new());
        head.lines(&FieldLines::from(fields));
        let head = head.seal(WireLength::Unsaid, None);
        self.output.interim(self.wire, &head).await
    }

    /// Sends a whole answer: head and body in one write where the stream can.
    ///
    /// # Errors
    /// The client is gone or too slow, or an answer has been begun.
    pub async fn send_full(&mut self, head: Head, body: &[Bytes]) -> Result<(), SendError> {
        let length = body.iter().map(|chunk| chunk.len() as u64).sum();
        self.begin(head, BodyLength::Known(length))?;
        self.output.put(self.wire, body, false).await?;
        self.finish().await
    }

    /// Begins an answer. Its head goes out with the body's first bytes, or with [`flush`](Self::flush).
    ///
    /// # Errors
    /// An answer has been begun, or the status is interim.
    pub fn begin(&mut self, head: Head, length: BodyLength) -> Result<(), SendError> {
        let status = head.status();
        if self.output.is_begun() || status.is_informational() {
            return Err(SendError::Order("a head"));
        }
        let is_bodiless = status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
        let is_head = self.is_head;
        let (mut wire, mut extent) = match length {
            BodyLength::Known(bytes) => (WireLength::Known(bytes), Extent::Known(bytes)),
            BodyLength::None if is_head => (WireLength::Unsaid, Extent::Dropped),
            BodyLength::None => (WireLength::Known(0), Extent::Known(0)),
            BodyLength::Chunked if !self.is_old => (WireLength::Chunked, Extent::Chunked),
            BodyLength::Chunked | BodyLength::UntilClose => {
                (WireLength::Unsaid, Extent::UntilClose)
            }
        };
        if is_bodiless {
            wire = WireLength::Unsaid;
        }
        if is_bodiless || is_head {
            extent = Extent::Dropped;
        }
        self.may_persist &= extent != Extent::UntilClose
            && self.can_pass_body()
            && !self.wire.watches.stop.is_stopped();
        let connection: Option<&[u8]> = match (self.may_persist, self.is_old) {
            (false, _) => Some(b"Connection: close\r\n"),
            (true, true) => Some(b"Connection: keep-alive\r\n"),
            (true, false) => None,
        };
        self.output.begin(head.seal(wire, connection), extent);
        Ok(())
    }

    /// Sends body bytes, waiting until the stream has taken them.
    ///
    /// # Errors
    /// The client is gone or too slow, the body is longer than declared, or no answer is open.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), SendError> {
        self.output.put(self.wire, &[chunk], true).await
    }

    /// Sends many chunks, as [`write`](Self::write) does, in as few writes as can be.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub async fn write_all(&mut self, chunks: &[Bytes]) -> Result<(), SendError> {
        self.output.put(self.wire, chunks, true).await
    }

    /// Whether body bytes that lie in files can be sent as they lie, with [`write_parts`](Self::write_parts): on a connection with
    /// nothing between its stream and its socket.
    #[must_use]
    pub fn takes_parts(&self) -> bool {
        !self.is_head && self.wire.takes_parts()
    }

    /// Sends body bytes as they lie in files, waiting until the socket has taken them. Returns how many went out: fewer than all
    /// when the next one cannot be sent so. Whoever has the rest in another way goes on there. None go out, and none are due,
    /// where the body's length was not declared.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub async fn write_parts(&mut self, parts: &Parts) -> Result<u64, SendError> {
        self.output.put_parts(self.wire, parts).await
    }

    /// Sends the head if it still waits for the body's first bytes.
    ///
    /// # Errors
    /// The client is gone or too slow, or no answer is open.
    pub async fn flush(&mut self) -> Result<(), SendError> {
        self.output.flush(self.wire).await
    }

    /// Ends the answer. Without it the answer is taken for cut, and the connection is ended without a proper end.
    ///
    /// # Errors
    /// The client is gone or too slow, the body is shorter than declared, or no answer is open.
    pub async fn finish(&mut self) -> Result<(), SendError> {
        self.output.finish(self.wire).await
    }

    /// The next bytes of the request's body; `None` at its end. Sends `100 Continue` first where the client waits for it
    /// (RFC 9110 10.1.1) and nothing has been answered.
    ///
    /// # Errors
    /// The body is cut, badly framed, or does not come. The connection ends after the answer then.
    pub async fn read_body(&mut self) -> Result<Option<Bytes>, BodyError> {
        self.is_body_touched = true;
        let read = self.next_body_bytes().await;
        if let Err(error) = &read {
            self.may_persist = false;
            if let BodyError::Refused(refusal) = error {
                self.body_refusal = Some(*refusal);
            }
        }
        read
    }

    async fn next_body_bytes(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            if let Some(data) = self.info.framing.take(&mut self.wire.buffer)? {
                return Ok(Some(data));
            }
            if self.info.framing.is_done() {
                return Ok(None);
            }
            if self.info.expects_continue && !self.has_asked_body && !self.output.is_begun() {
                self.send_interim(StatusCode::CONTINUE, &HeaderMap::new())
                    .await?;
            }
            let deadline = Instant::now() + self.limits.body_timeout();
            match self.wire.read(Some(deadline), false).await {
                Arrival::Bytes => {}
                Arrival::End => return Err(BodyError::Truncated),
                Arrival::Broken(error) => return Err(BodyError::Disconnected(error)),
                Arrival::Late | Arrival::Stopped => return Err(BodyError::Late),
            }
        }
    }

    /// Waits until the client is gone, reading ahead at most one head's worth of what it sends meanwhile. For a `select!`
    /// beside work that is done for this client alone. Nothing is lost when it is dropped.
    ///
    /// A client that ends its sending side may be gone or may still want the answer, and nothing tells which: it is taken
    /// for gone [`Limits::half_closed_wait_ms`] later.
    pub async fn client_gone(&mut self) {
        loop {
            if self.wire.buffer.len() >= self.limits.head_bytes_max as usize {
                return std::future::pending().await;
            }
            match self.wire.read(None, false).await {
                Arrival::Bytes => {}
                Arrival::End => return tokio::time::sleep(self.limits.half_closed_wait()).await,
                _ => return,
            }
        }
    }

    /// Whether what is left of the request's body may be read over, so that the connection can go on. A client that
    /// still waits for `100 Continue` may send it or not: nobody can tell (RFC 9110 10.1.1).
    fn can_pass_body(&self) -> bool {
        let framing = &self.info.framing;
        if framing.is_done() {
            return true;
        }
        let waits = self.info.expects_continue && !self.has_asked_body;
        let left_max = u64::from(self.limits.discard_bytes_max);
        !waits && framing.left().is_none_or(|left| left <= left_max)
    }

    /// Ends the exchange: what became of it, what is left of the request, and a refusal met on the way.
    pub(crate) fn end(self, next: Next) -> (Verdict, HeadInfo, Option<Refusal>) {
        let verdict = self.verdict(next);
        *self.scratch = self.output.into_memory();
        (verdict, self.info, self.body_refusal)
    }

    fn verdict(&self, next: Next) -> Verdict {
        if self.output.is_done() {
            return Verdict::Answered {
                persists: self.may_persist && next == Next::KeepAlive,
            };
        }
        if self.output.is_begun() {
            return Verdict::Cut;
        }
        match next {
            _ if self.body_refusal.is_some() => Verdict::Refused,
            Next::KeepAlive => Verdict::Unanswered,
            Next::Delegate if !self.is_body_touched => Verdict::Delegated,
            Next::Delegate | Next::Close => Verdict::Dropped,
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Answered {
        persists: bool,
    },
    /// Begun and not finished.
    Cut,
    /// The handler wants the connection gone.
    Dropped,
    Unanswered,
    /// The body was refused before anything was answered.
    Refused,
    Delegated,
}

impl Peer {
    pub(crate) fn of(stream: &Stream) -> Self {
        let digest = stream.get_socket_digest();
        let inet = |address: Option<&L4Address>| address.and_then(L4Address::as_inet).copied();
        Self {
            address: digest.as_ref().and_then(|digest| inet(digest.peer_addr())),
            local: digest.as_ref().and_then(|digest| inet(digest.local_addr())),
            tls: stream.get_ssl_digest(),
        }
    }
}
