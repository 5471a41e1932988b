//! What a connection is served by.

use std::sync::Arc;

use http::request::Parts;
use mcsp_edge_limits::FrameMeter;

use crate::connection::{CloseReason, Closed};
use crate::exchange::{Exchange, Peer};
use crate::request::Refusal;

/// Serves requests. All connections share one.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Polled first where the request arrived, and once more elsewhere for as long as it waits: it must
    /// not block. An exchange that is dropped unfinished resets its stream.
    fn on_request(self: Arc<Self>, exchange: Exchange) -> impl Future<Output = ()> + Send;

    /// A request was refused, for metrics and logs.
    fn on_refused(&self, refusal: Refusal, peer: &Peer);

    /// What came of a request that is answered 400, for those who look for what is hostile; before [`on_refused`](Self::on_refused).
    fn on_refused_request(&self, _request: &Parts, _peer: &Peer) {}

    /// A stream was reset because its request is malformed (RFC 9113 section 8.1.1), and why; before
    /// [`on_refused`](Self::on_refused). Nothing is left of the request.
    fn on_malformed(&self, _why: &'static str, _peer: &Peer) {}

    /// Has a connection end, for this reason: `end` is all that is left to do for it, what its client is told and the wait for it to
    /// take that among it. Thousands may end at once, and who serves others beside them can have each wait for its turn. By default
    /// it is done at once.
    fn end(
        &self,
        _reason: CloseReason,
        end: impl Future<Output = Closed> + Send,
    ) -> impl Future<Output = Closed> + Send {
        end
    }

    /// What counts a new connection's frames; without one they are not.
    fn frame_meter(&self) -> Option<FrameMeter> {
        None
    }
}
