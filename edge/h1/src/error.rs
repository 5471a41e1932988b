//! What may go wrong once a request is understood.

use std::io;

use thiserror::Error;

use crate::refusal::Refusal;

/// An answer could not be sent. The connection ends; nothing more can be sent on it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection broke.
    #[error("the client is gone")]
    Disconnected(#[source] io::Error),
    /// The client takes less than [`Limits::drain_bytes_s_min`](crate::Limits::drain_bytes_s_min).
    #[error("the client takes the answer too slowly")]
    TooSlow,
    /// The body is not as long as the head said.
    #[error("a body of {declared} bytes was declared, {given} were given")]
    Length {
        /// By the head.
        declared: u64,
        /// By the handler, as far as it came.
        given: u64,
    },
    /// A second head, a body without one, or anything after the end.
    #[error("out of order: {0}")]
    Order(&'static str),
}

impl SendError {
    /// Whether it is the client's or the network's doing, and no fault of the handler.
    #[must_use]
    pub const fn is_downstream(&self) -> bool {
        matches!(self, Self::Disconnected(_) | Self::TooSlow)
    }
}

/// A request body could not be read. The connection ends with the answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The body's framing is broken.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The client ended the connection before the body's end.
    #[error("the body ends too early")]
    Truncated,
    /// The next bytes did not come within [`Limits::body_timeout_ms`](crate::Limits::body_timeout_ms).
    #[error("the body does not come")]
    Late,
    /// The connection broke.
    #[error("the client is gone")]
    Disconnected(#[source] io::Error),
    /// `100 Continue` could not be sent.
    #[error(transparent)]
    Continue(#[from] SendError),
}
