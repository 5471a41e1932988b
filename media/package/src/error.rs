//! What can go wrong while packaging.

use std::io;

use thiserror::Error;

/// Why packaging failed.
#[derive(Debug, Error)]
pub enum PackageError {
    /// Reading or writing a file failed.
    #[error("packaging could not read or write: {0}")]
    Io(#[from] io::Error),
    /// An encoder produced what the format does not allow.
    #[error("packaging refused an encoded sample: {0}")]
    Bitstream(String),
    /// Samples overlap, leave a gap or run backwards.
    #[error("packaging refused a timeline: {0}")]
    Timeline(String),
    /// A mezzanine is not what its description says.
    #[error("mezzanine is damaged: {0}")]
    Corrupt(String),
    /// Renditions that cannot be one presentation.
    #[error("renditions cannot be composed: {0}")]
    Compose(String),
}

impl PackageError {
    /// May the same call succeed later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Io(_))
    }
}
