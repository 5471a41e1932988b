//! The client's side of a request, whatever protocol it came by.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use mcsp_edge_mapped::Parts;
use thiserror::Error;

use super::prepared::Prepared;

/// Why an answer did not reach the client whole.
#[derive(Debug, Error)]
pub(crate) enum SendFault {
    /// The client is gone, or takes the answer too slowly.
    #[error("client: {0}")]
    Client(String),
    /// The client went before its answer began.
    #[error("client: gone before the answer")]
    Gone,
    /// The answer contradicts itself, such as a body that is not as long as its head said.
    #[error("answer: {0}")]
    Answer(String),
}

impl SendFault {
    /// Is it the client's or the network's doing?
    pub(crate) fn is_clients(&self) -> bool {
        matches!(self, Self::Client(_) | Self::Gone)
    }

    /// Did it go before its answer began?
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Gone)
    }
}

/// Does `work`, for as long as the client is there. For waits before an answer: what is done for this client alone ends with
/// it, or clients that ask and go would keep every turn of an origin.
pub(crate) async fn unless_gone<C: ClientStream, T>(
    client: &mut C,
    work: impl Future<Output = T> + Send,
) -> Result<T, SendFault> {
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = client.gone() => Err(SendFault::Gone),
    }
}

/// The same, for waits within an answer: a client that has left takes nothing more of it, and gives its place to others now,
/// not when there is more to send.
pub(crate) async fn unless_left<C: ClientStream, T>(
    client: &mut C,
    work: impl Future<Output = T> + Send,
) -> Result<T, SendFault> {
    let done = unless_gone(client, work).await;
    done.map_err(|_| SendFault::Client("gone before its answer was whole".to_owned()))
}

/// How long an answer's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// This many bytes; for `HEAD`, those that `GET` would have.
    Known(u64),
    /// Told by the body's end.
    Unknown,
    /// There is none, and nothing is said of it.
    None,
}

/// An answer's head under construction.
pub(crate) trait HeadLines: Send {
    /// Adds the fields of a stored response.
    fn prepared(&mut self, prepared: &Prepared<'_>);

    /// Adds a field.
    fn field(&mut self, name: &HeaderName, value: &HeaderValue);

    /// Adds a field whose value is formatted in place.
    fn field_fmt(&mut self, name: &HeaderName, value: fmt::Arguments<'_>);

    /// Adds a field whose value is a number.
    fn field_u64(&mut self, name: &HeaderName, value: u64) {
        self.field_fmt(name, format_args!("{value}"));
    }

    /// Adds all fields of a map.
    fn fields(&mut self, fields: &HeaderMap) {
        for (name, value) in fields {
            self.field(name, value);
        }
    }
}

/// One request's way back: either [`send_full`](Self::send_full), or [`begin`](Self::begin), any number of
/// [`write`](Self::write), [`finish`](Self::finish). An answer that is begun and not finished is cut, visibly.
pub(crate) trait ClientStream: Send {
    type Head: HeadLines;

    /// A head to fill.
    fn head(&mut self, status: StatusCode) -> Self::Head;

    /// Sends an interim answer (1xx), where the protocol has a way to.
    fn interim(
        &mut self,
        status: StatusCode,
        fields: &HeaderMap,
    ) -> impl Future<Output = Result<(), SendFault>> + Send;

    /// Sends a whole answer, in as few writes as can be.
    fn send_full(
        &mut self,
        head: Self::Head,
        body: &[Bytes],
    ) -> impl Future<Output = Result<(), SendFault>> + Send;

    /// Begins an answer. Its head may wait for the body's first bytes, or for [`flush`](Self::flush).
    fn begin(&mut self, head: Self::Head, length: Length) -> Result<(), SendFault>;

    /// Sends body bytes; waits until the stream takes them.
    fn write(&mut self, piece: Bytes) -> impl Future<Output = Result<(), SendFault>> + Send;

    /// Sends many pieces, in as few writes as can be.
    fn write_all(
        &mut self,
        pieces: Vec<Bytes>,
    ) -> impl Future<Output = Result<(), SendFault>> + Send;

    /// Can it be sent what lies in files as it lies there? Where not, [`write_parts`](Self::write_parts) sends nothing.
    fn takes_parts(&self) -> bool {
        false
    }

    /// Sends body bytes as they lie in files. Returns how many went out: fewer than all when the next one is not to be had so.
    fn write_parts(
        &mut self,
        _parts: &Parts,
    ) -> impl Future<Output = Result<u64, SendFault>> + Send {
        std::future::ready(Ok(0))
    }

    /// Sends the head, if it still waits.
    fn flush(&mut self) -> impl Future<Output = Result<(), SendFault>> + Send;

    /// Ends the answer.
    fn finish(&mut self) -> impl Future<Output = Result<(), SendFault>> + Send;

    /// Waits until the client is gone. May be dropped, and called again.
    fn gone(&mut self) -> impl Future<Output = ()> + Send;

    /// Has the connection end after the answer, where the protocol answers one request at a time; before its head.
    fn end_connection(&mut self);

    /// Bytes of the body that went out.
    fn body_bytes_sent(&self) -> u64;
}
