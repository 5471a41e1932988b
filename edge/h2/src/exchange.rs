//! One request and its answer.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use mcsp_edge_h2_wire::Code;
use parking_lot::Mutex;
use pingora_core::protocols::{Digest, Stream};

use crate::error::SendError;
use crate::fields::AnswerFields;
use crate::pace::Pace;
use crate::state::{Accepted, Gone, State};

/// A body that is no longer than this is handed over at once, without waiting for room: no more than any client's first
/// window (RFC 9113 section 6.9.2).
const AT_ONCE_BYTES_MAX: usize = 65_535;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Awaited,
    Open,
    Done,
}

/// A stream's place in its connection, for as long as somebody answers it.
pub(crate) struct Place {
    state: Arc<Mutex<State>>,
    slot: usize,
}

impl Place {
    fn with<T>(&self, work: impl FnOnce(&mut State, usize) -> T) -> T {
        work(&mut self.state.lock(), self.slot)
    }

    pub(crate) fn reset(&self, code: Code) {
        self.with(|state, slot| state.reset(slot, code));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.with(State::let_go);
    }
}

/// One request, and the only way to answer it: [`respond`](Self::respond), any number of [`write`](Self::write), of which
/// the last says so; or [`answer`](Self::answer) for what is small and at hand. An answer that is begun and not finished is
/// reset when this is dropped, so that the client sees it cut.
pub struct Exchange {
    request: Parts,
    place: Place,
    answer: Answer,
    peer: Arc<Peer>,
    is_head: bool,
    pub(crate) pace: Pace,
    sent: u64,
}

impl Exchange {
    pub(crate) fn new(
        accepted: Accepted,
        state: Arc<Mutex<State>>,
        peer: Arc<Peer>,
        pace: Pace,
    ) -> Self {
        let Accepted { slot, request } = accepted;
        Self {
            is_head: request.method == Method::HEAD,
            request,
            place: Place { state, slot },
            answer: Answer::Awaited,
            peer,
            pace,
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
        !self.is_body_over()
    }

    pub(crate) fn is_body_over(&self) -> bool {
        self.place.with(|state, slot| state.is_body_over(slot))
    }

    /// The next bytes of the request's body; nothing after the last.
    pub(crate) async fn next_data(&mut self) -> Option<Result<Bytes, Gone>> {
        poll_fn(|context| {
            self.place
                .with(|state, slot| state.poll_body(slot, context))
        })
        .await
    }

    /// Has the client send the request again, if it likes.
    pub(crate) fn refuse(&mut self) {
        self.place.reset(Code::REFUSED_STREAM);
        self.answer = Answer::Done;
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
        self.place
            .with(|state, slot| state.head(slot, status, &fields, false))
            .map_err(SendError::gone)
    }

    /// Sends a head; `is_end`: there is no body.
    ///
    /// # Errors
    /// The client is gone, or an answer has been begun.
    pub fn respond(
        &mut self,
        status: StatusCode,
        fields: impl AnswerFields,
        is_end: bool,
    ) -> Result<(), SendError> {
        if !matches!(self.answer, Answer::Awaited) || status.is_informational() {
            return Err(SendError::Order("a head"));
        }
        self.place
            .with(|state, slot| state.head(slot, status, &fields, is_end))
            .map_err(SendError::gone)?;
        self.answer = if is_end { Answer::Done } else { Answer::Open };
        Ok(())
    }

    /// Sends a whole answer. A small one is handed over without waiting for the client's windows.
    ///
    /// # Errors
    /// The client is gone or too slow, or an answer has been begun.
    pub async fn answer(
        &mut self,
        status: StatusCode,
        fields: impl AnswerFields + Send,
        body: &[Bytes],
    ) -> Result<(), SendError> {
        let length: usize = body.iter().map(Bytes::len).sum();
        self.respond(status, fields, length == 0)?;
        let mut left = length;
        for piece in body {
            left -= piece.len();
            if length <= AT_ONCE_BYTES_MAX {
                if !piece.is_empty() {
                    self.hand_over(piece.clone(), left == 0, false)?;
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
                self.hand_over(piece, true, false)
            } else {
                Ok(())
            };
        }
        while !piece.is_empty() {
            let room = self.room().await?;
            let part = piece.split_to(room.min(piece.len()));
            self.pace.took(part.len());
            let is_last = is_end && piece.is_empty();
            self.hand_over(part, is_last, true)?;
        }
        Ok(())
    }

    /// How many bytes may be handed over, at least one.
    async fn room(&mut self) -> Result<usize, SendError> {
        if self.answer != Answer::Open {
            return Err(SendError::Order("data"));
        }
        let place = &self.place;
        let mut room = poll_fn(|context| place.with(|state, slot| state.poll_room(slot, context)));
        // A timer only where there is something to wait for.
        let at_once = poll_fn(|context| Poll::Ready(Pin::new(&mut room).poll(context))).await;
        let room = match at_once {
            Poll::Ready(room) => room,
            Poll::Pending => self.pace.wait(room).await.ok_or(SendError::TooSlow)?,
        };
        room.map_err(SendError::gone)
    }

    fn hand_over(&mut self, piece: Bytes, is_end: bool, has_room: bool) -> Result<(), SendError> {
        if self.answer != Answer::Open {
            return Err(SendError::Order("data"));
        }
        self.sent += piece.len() as u64;
        self.place
            .with(|state, slot| state.data_out(slot, piece, is_end, has_room))
            .map_err(SendError::gone)?;
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
        if self.answer != Answer::Open {
            return Err(SendError::Order("trailers"));
        }
        self.place
            .with(|state, slot| state.trailers_out(slot, trailers))
            .map_err(SendError::gone)?;
        self.answer = Answer::Done;
        Ok(())
    }

    /// Ends the stream in a way that the client can tell from an end, unless the answer is done.
    pub fn cut(&mut self) {
        if self.answer != Answer::Done {
            self.place.reset(Code::INTERNAL_ERROR);
        }
        self.answer = Answer::Done;
    }

    /// Waits until the client has reset the stream or is gone. May be dropped, and called again.
    pub async fn gone(&mut self) {
        poll_fn(|context| self.poll_gone(context)).await;
    }

    pub(crate) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<String> {
        if self.answer == Answer::Done {
            return Poll::Pending;
        }
        let gone = self
            .place
            .with(|state, slot| state.poll_gone(slot, context));
        gone.map(|gone| gone.to_string())
    }
}
