//! What can go wrong with an answer.

use thiserror::Error;

use crate::state::Gone;

/// Why an answer did not go out whole.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The client has reset the stream, or the connection is gone.
    #[error("the client is gone: {0}")]
    Gone(String),
    /// The client takes too little of it.
    #[error("the client takes the answer too slowly")]
    TooSlow,
    /// The calls came in an order that makes no answer.
    #[error("{0} out of order")]
    Order(&'static str),
}

impl SendError {
    /// Is it the client's or the network's doing?
    #[must_use]
    pub const fn is_downstream(&self) -> bool {
        matches!(self, Self::Gone(_) | Self::TooSlow)
    }

    pub(crate) fn gone(gone: Gone) -> Self {
        Self::Gone(gone.to_string())
    }
}
