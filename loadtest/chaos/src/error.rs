//! What can go wrong with harming.

use std::io;
use std::path::Path;

use mcsp_loadtest_scenario::Refused;
use thiserror::Error;

/// Why something could not be done, or undone.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChaosError {
    /// An address that is neither of the loopback nor in the allow file.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A process that may not be touched.
    #[error("process {pid} is not touched: {reason}")]
    Protected {
        /// Its id, as far as it is known.
        pid: String,
        /// Why.
        reason: String,
    },
    /// Something that is configured and cannot be had.
    #[error("{what}: {expected}")]
    Unavailable {
        /// What is configured.
        what: String,
        /// What would have to be so.
        expected: String,
    },
    /// A process that did not do what its signal tells it.
    #[error("process {pid} is still there {after_s} s after SIGTERM; it is left as it is")]
    StillThere {
        /// Its id.
        pid: i32,
        /// How long it had, s.
        after_s: u64,
    },
    /// The system said no.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What it said.
        source: io::Error,
    },
}

impl ChaosError {
    /// Whether the same may succeed another time without a change of configuration.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::System { .. } | Self::StillThere { .. })
    }

    pub(crate) fn system(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::System {
            what: what.into(),
            source: source.into(),
        }
    }

    pub(crate) fn file(path: &Path, source: impl Into<io::Error>) -> Self {
        Self::system(path.display().to_string(), source)
    }

    pub(crate) fn unavailable(what: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Unavailable {
            what: what.into(),
            expected: expected.into(),
        }
    }
}
