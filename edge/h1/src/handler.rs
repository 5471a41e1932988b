//! What a connection is served by.

use http::request::Parts;
use pingora_core::protocols::Stream;

use crate::answer::head::Head;
use crate::closed::Closed;
use crate::exchange::{Exchange, Peer};
use crate::parse::{Oddity, SentLine};
use crate::refusal::Refusal;

/// What happens to the connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It goes on if it can: if the answer is complete and its head did not say otherwise. A handler that has answered
    /// nothing has failed: the client gets a 500.
    KeepAlive,
    /// It ends. Without an answer it ends without a word.
    Close,
    /// [`Handler::delegate`] serves this request. Only while nothing has been answered and none of the body been read;
    /// otherwise it counts as [`Close`](Self::Close).
    Delegate,
}

/// A request for somebody else to serve.
///
/// For pingora:
///
/// ```text
/// let mut session = ServerSession::new_http1(delegation.stream);
/// if delegation.is_last {
///     session.set_keepalive_reuses_remaining(Some(0));
/// }
/// session.set_read_timeout(..); session.set_write_timeout(..); session.set_min_send_rate(..);
/// let reused = proxy.process_new_http(session, &shutdown).await?;
/// Some(reused.consume().0)
/// ```
///
/// - The stream gives the request's head again, as it came, then its body, and then nothing until the client goes:
///   the next request's bytes are kept here. So `set_pipelined_prefix` has no use, and pipelining stays off
///   (`set_pipelining_enabled`): what pingora reads too far ends in `HttpPersistentSettings`, which can be applied to
///   another pingora session but not be read, and with pipelining off a byte beyond the request fails the request in
///   progress (`Sent data after end of body`). Neither can happen with this stream.
/// - `set_keepalive(None)` before `process_new_http` does nothing: reading the head sets it anew from the request. Only
///   the count of reuses stays, so that is how pingora is made to say `Connection: close`.
/// - A new session has a read timeout of 60 s and neither a write timeout nor a least rate.
/// - Pingora drains what is left of a request body before it gives the stream back, without a bound unless
///   `set_total_drain_timeout` is called; it closes instead where the answer began before the body had come
///   (`set_close_on_response_before_downstream_finish`, on by default).
/// - The stream comes back in its own box; give it back as it is. One that is wrapped in something else cannot be
///   taken up again, and the connection ends.
#[derive(Debug)]
pub struct Delegation {
    /// The connection, as if this request were all that the client sends.
    pub stream: Stream,
    /// Whether this must be the connection's last request, which the answer should say.
    pub is_last: bool,
    /// Requests that this connection carried before.
    pub requests_before: u32,
    /// The request line as it was sent, where the head that the stream gives has it in another form.
    pub sent_line: Option<SentLine>,
}

/// Serves requests. All connections share one.
pub trait Handler: Send + Sync {
    /// Answers one request, or leaves it to [`delegate`](Self::delegate).
    fn on_request(&self, exchange: &mut Exchange<'_>) -> impl Future<Output = Next> + Send;

    /// Serves one request on the bare stream; gives the stream back if the connection can go on.
    fn delegate(&self, delegation: Delegation) -> impl Future<Output = Option<Stream>> + Send;

    /// A request was refused, for metrics and logs.
    fn on_refused(&self, refusal: Refusal, peer: &Peer);

    /// What came of a head that is refused, as it was sent, for those who look for what is hostile; before
    /// [`on_refused`](Self::on_refused). Nothing else becomes of the request.
    fn on_refused_head(&self, _head: &[u8], _peer: &Peer) {}

    /// Whether it may be that a request with this is taken. Where it never is, as by default, nothing is tried.
    fn may_take(&self, _oddity: Oddity) -> bool {
        false
    }

    /// Whether this request is taken although its head came with that. It is given as what it was read as: see [`Oddity`].
    fn takes(&self, _oddity: Oddity, _request: &Parts, _peer: &Peer) -> bool {
        false
    }

    /// Has a connection end that carries no further request: `end` is all that is left to do for it, the last answer and the
    /// wait for its client to take that among it. Thousands may end at once, and who serves others beside them can have each
    /// wait for its turn. By default it is done at once.
    fn end(&self, end: impl Future<Output = Closed> + Send) -> impl Future<Output = Closed> + Send {
        end
    }

    /// Fields for an answer that the connection gives itself, a refusal or a failure: `Date`, `Server`. `Date` is
    /// required of a server with a clock (RFC 9110 6.6.1).
    fn fields(&self, head: &mut Head);
}

impl<H: Handler> Handler for std::sync::Arc<H> {
    fn on_request(&self, exchange: &mut Exchange<'_>) -> impl Future<Output = Next> + Send {
        H::on_request(self, exchange)
    }

    fn delegate(&self, delegation: Delegation) -> impl Future<Output = Option<Stream>> + Send {
        H::delegate(self, delegation)
    }

    fn on_refused(&self, refusal: Refusal, peer: &Peer) {
        H::on_refused(self, refusal, peer);
    }

    fn on_refused_head(&self, head: &[u8], peer: &Peer) {
        H::on_refused_head(self, head, peer);
    }

    fn may_take(&self, oddity: Oddity) -> bool {
        H::may_take(self, oddity)
    }

    fn takes(&self, oddity: Oddity, request: &Parts, peer: &Peer) -> bool {
        H::takes(self, oddity, request, peer)
    }

    fn end(&self, end: impl Future<Output = Closed> + Send) -> impl Future<Output = Closed> + Send {
        H::end(self, end)
    }

    fn fields(&self, head: &mut Head) {
        H::fields(self, head);
    }
}
