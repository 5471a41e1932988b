//! Why a call of the feed failed.

use mcsp_events::EventError;
use mcsp_events::consumer::HandleError;
use thiserror::Error;

/// Why a call of the feed failed.
#[derive(Debug, Error)]
pub enum FeedError {
    /// The event log's.
    #[error("edge feed: {0}")]
    Log(#[from] EventError),
    /// A record of the feed's topic is not an entry.
    #[error("edge feed: record {offset} is not an entry: {source}")]
    Entry {
        /// Its offset.
        offset: u64,
        /// What was wrong.
        source: prost::DecodeError,
    },
    /// A change that cannot be published.
    #[error("edge feed: {0}")]
    Invalid(String),
}

impl FeedError {
    /// May the same call succeed later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Log(error) => error.is_retryable(),
            Self::Entry { .. } | Self::Invalid(_) => false,
        }
    }
}

impl From<FeedError> for HandleError {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Log(error) => error.into(),
            FeedError::Entry { .. } => Self::Retry(error.to_string()),
            FeedError::Invalid(_) => Self::Poison(error.to_string()),
        }
    }
}
