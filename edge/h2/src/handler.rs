//! What a connection is served by.

use std::sync::Arc;

use mcsp_edge_limits::FrameMeter;

use crate::exchange::{Exchange, Peer};
use crate::request::Refusal;

/// Serves requests. All connections share one.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Polled first where the request arrived, and once more elsewhere for as long as it waits: it must
    /// not block. An exchange that is dropped unfinished resets its stream.
    fn on_request(self: Arc<Self>, exchange: Exchange) -> impl Future<Output = ()> + Send;

    /// A request was refused, for metrics and logs.
    fn on_refused(&self, refusal: Refusal, peer: &Peer);

    /// What counts a new connection's frames; without one they are not.
    fn frame_meter(&self) -> Option<FrameMeter> {
        None
    }
}
