//! Why a channel or a server cannot be made.

use mcsp_identity::{CallerTableError, IdentityError};
use thiserror::Error;

/// Why a channel or a server cannot be made. What goes wrong in a call is a gRPC status instead.
#[derive(Debug, Error)]
pub enum RpcError {
    /// The identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The caller table cannot be used.
    #[error(transparent)]
    Callers(#[from] CallerTableError),
    /// A value of the configuration cannot be used.
    #[error("{key} = {value:?}: expected {expected}")]
    Config {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The listener's address cannot be told.
    #[error("listener: {0}")]
    Listener(#[from] std::io::Error),
}

impl RpcError {
    /// May the same call succeed later, without a change of configuration?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Identity(error) => error.is_retryable(),
            Self::Callers(_) | Self::Config { .. } => false,
            Self::Listener(_) => true,
        }
    }
}
