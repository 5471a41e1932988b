//! One request and its answer.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use pingora_core::protocols::{Digest, Stream};

use crate::backlog::{Backlog, Queued};
use crate::error::SendError;
use crate::pace::Pace;

/// A body's bytes in one frame: with the frame's own 9 they fill one TLS record (RFC 8446 section 5.1), where a frame of
/// 16 384 would take two.
const FRAME_BYTES: usize = (16 << 10) - 9;

/// A body that is no longer than this is handed over at once, without waiting for room: no more than any client's first
/// window (RFC 9113 section 6.9.2).
const AT_ONCE_BYTES_MAX: usize = 65_535;

/// What is asked room for at a time.
const ROOM_BYTES_MAX: usize = 1 << 20;

/// Who is at the other end.
#[derive(Debug)]
pub struct Peer {
    /// The client's address; none on what is no IP socket.
    pub address: Option<SocketAddr>,
    /// Whether the connection is TLS.
    pub is_tls: bool,
    pub(crate) digest: Digest,
}

impl Peer {
    pub(crate) fn of(stream: &Stream) -> Self {
        let digest = Digest {
            ssl_digest: stream.get_ssl_digest(),
            timing_digest: stream.get_timing_digest(),
            proxy_digest: stream.get_proxy_digest(),
            socket_digest: stream.get_socket_digest(),
        };
        let address = digest.socket_digest.as_ref();
        Self {
            address: address.and_then(|digest| digest.peer_addr()?.as_inet().copied()),
            is_tls: digest.ssl_digest.is_some(),
            digest,
        }
    }
}

/// How far an answer is.
enum Answer {
    Awaited,
    Open(SendStream<Queued>),
    Done,
}

/// One request, and the only way to answer it: [`respond`](Self::respond), any number of [`write`](Self::write), of which
/// the last says so; or [`answer`](Self::answer) for what is small and at hand. An answer that is begun and not finished is
/// reset when this is dropped, so that the client sees it cut.
pub struct Exchange {
    request: Parts,
    pub(crate) body: RecvStream,
    respond: SendResponse<Queued>,
    answer: Answer,
    peer: Arc<Peer>,
    is_head: bool,
    pub(crate) pace: Pace,
    backlog: Arc<Backlog>,
    sent: u64,
}

impl Exchange {
    pub(crate) fn new(
        request: Parts,
        body: RecvStream,
        respond: SendResponse<Queued>,
        peer: Arc<Peer>,
        pace: Pace,
        backlog: Arc<Backlog>,
    ) -> Self {
        Self {
            is_head: request.method == Method::HEAD,
            request,
            body,
            respond,
            answer: Answer::Awaited,
            peer,
            pace,
            backlog,
            sent: 0,
        }
    }

    /// The request.
    #[must_use]
    pub const fn request(&self) -> &Parts {
        &self.request
    }

    /// Takes the request.
    pub fn take_request(&mut self) -> Parts {
        let (parts, ()) = http::Request::new(()).into_parts();
        std::mem::replace(&mut self.request, parts)
    }

    /// The other end.
    #[must_use]
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// Whether the request has a body that has not been read to its end.
    #[must_use]
    pub fn has_body(&self) -> bool {
        !self.body.is_end_stream()
    }

    /// Whether the request is `HEAD`, whose answer has no body; also after [`take_request`](Self::take_request).
    #[must_use]
    pub const fn is_head(&self) -> bool {
        self.is_head
    }

    /// Bytes of the answer's body that were taken for sending.
    #[must_use]
    pub const fn body_bytes_sent(&self) -> u64 {
        self.sent
    }

    /// Whether the answer was ended.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.answer, Answer::Done)
    }

    /// Sends an interim answer, 100 to 199 without 101 (RFC 9110 section 15.2).
    ///
    /// # Errors
    /// The client is gone, or an answer has been begun, or it is none.
    pub fn inform(&mut self, status: StatusCode, fields: HeaderMap) -> Result<(), SendError> {
        let is_interim = status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS;
        if !is_interim || !matches!(self.answer, Answer::Awaited) {
            return Err(SendError::Order("an interim answer"));
        }
        self.respond
            .send_informational(response(status, fields))
            .map_err(|error| SendError::gone(&error))
    }

    /// Sends a head; `is_end`: there is no body.
    ///
    /// # Errors
    /// The client is gone, or an answer has been begun.
    pub fn respond(
        &mut self,
        status: StatusCode,
        fields: HeaderMap,
        is_end: bool,
    ) -> Result<(), SendError> {
        if !matches!(self.answer, Answer::Awaited) || status.is_informational() {
            return Err(SendError::Order("a head"));
        }
        let stream = self
            .respond
            .send_response(response(status, fields), is_end)
            .map_err(|error| SendError::gone(&error))?;
        self.answer = if is_end {
            Answer::Done
        } else {
            Answer::Open(stream)
        };
        Ok(())
    }

    /// Sends a whole answer. A small one is handed over without waiting for the client's windows.
    ///
    /// # Errors
    /// The client is gone or too slow, or an answer has been begun.
    pub async fn answer(
        &mut self,
        status: StatusCode,
        fields: HeaderMap,
        body: &[Bytes],
    ) -> Result<(), SendError> {
        let length: usize = body.iter().map(Bytes::len).sum();
        self.respond(status, fields, length == 0)?;
        let mut left = length;
        for piece in body {
            left -= piece.len();
            if length <= AT_ONCE_BYTES_MAX {
                if !piece.is_empty() {
                    self.hand_over(piece.clone(), left == 0, Queued::at_once)?;
                }
            } else {
                self.write(piece.clone(), left == 0).await?;
            }
            if left == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Sends body bytes, waiting until there is room for all of them; `is_end`: they are the last.
    ///
    /// # Errors
    /// The client is gone or too slow, or no answer is open.
    pub async fn write(&mut self, mut piece: Bytes, is_end: bool) -> Result<(), SendError> {
        if piece.is_empty() {
            return if is_end {
                self.hand_over(piece, true, Queued::at_once)
            } else {
                Ok(())
            };
        }
        while !piece.is_empty() {
            let room = self.room(piece.len().min(ROOM_BYTES_MAX)).await?;
            let part = piece.split_to(room.min(piece.len()));
            self.pace.took(part.len());
            let backlog = Arc::clone(&self.backlog);
            let is_last = is_end && piece.is_empty();
            self.hand_over(part, is_last, |frame| backlog.queue(frame))?;
        }
        Ok(())
    }

    /// How many bytes may be handed over, at least one.
    async fn room(&mut self, wanted: usize) -> Result<usize, SendError> {
        let Answer::Open(stream) = &mut self.answer else {
            return Err(SendError::Order("data"));
        };
        stream.reserve_capacity(wanted);
        let mut room = stream.capacity();
        if room == 0 {
            let more = poll_fn(|context| stream.poll_capacity(context));
            room = match self.pace.wait(more).await.ok_or(SendError::TooSlow)? {
                Some(room) => room.map_err(|error| SendError::gone(&error))?,
                None => return Err(SendError::Gone("the stream is closed".to_owned())),
            };
        }
        // Last, so that all who got room in the client's windows at once do not hand over at once.
        if self.backlog.is_full() {
            let less = self.backlog.has_room();
            let gone = poll_fn(|context| stream.poll_reset(context));
            let waited = self.pace.wait(async {
                tokio::select! {
                    () = less => None,
                    reason = gone => Some(reason.map_or_else(|error| error.to_string(), |reason| reason.to_string())),
                }
            });
            if let Some(gone) = waited.await.ok_or(SendError::TooSlow)? {
                return Err(SendError::Gone(gone));
            }
        }
        Ok(room)
    }

    fn hand_over(
        &mut self,
        mut piece: Bytes,
        is_end: bool,
        queued: impl Fn(Bytes) -> Queued,
    ) -> Result<(), SendError> {
        let Answer::Open(stream) = &mut self.answer else {
            return Err(SendError::Order("data"));
        };
        self.sent += piece.len() as u64;
        while piece.len() > FRAME_BYTES {
            let frame = piece.split_to(FRAME_BYTES);
            stream
                .send_data(queued(frame), false)
                .map_err(|error| SendError::gone(&error))?;
        }
        stream
            .send_data(queued(piece), is_end)
            .map_err(|error| SendError::gone(&error))?;
        if is_end {
            self.answer = Answer::Done;
        }
        Ok(())
    }

    /// Sends trailers, which end the answer.
    ///
    /// # Errors
    /// The client is gone, or no answer is open.
    pub fn trailers(&mut self, trailers: HeaderMap) -> Result<(), SendError> {
        let Answer::Open(stream) = &mut self.answer else {
            return Err(SendError::Order("trailers"));
        };
        stream
            .send_trailers(trailers)
            .map_err(|error| SendError::gone(&error))?;
        self.answer = Answer::Done;
        Ok(())
    }

    /// Ends the stream in a way that the client can tell from an end, unless the answer is done.
    pub fn cut(&mut self) {
        match &mut self.answer {
            Answer::Done => {}
            Answer::Awaited => self.respond.send_reset(Reason::INTERNAL_ERROR),
            Answer::Open(stream) => stream.send_reset(Reason::INTERNAL_ERROR),
        }
        self.answer = Answer::Done;
    }

    /// Waits until the client has reset the stream or is gone. May be dropped, and called again.
    pub async fn gone(&mut self) {
        poll_fn(|context| self.poll_gone(context)).await;
    }

    pub(crate) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<String> {
        let reset = match &mut self.answer {
            Answer::Open(stream) => stream.poll_reset(context),
            Answer::Awaited => self.respond.poll_reset(context),
            Answer::Done => return Poll::Pending,
        };
        reset.map(|reset| match reset {
            Ok(reason) => reason.to_string(),
            Err(error) => error.to_string(),
        })
    }
}

fn response(status: StatusCode, fields: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}
