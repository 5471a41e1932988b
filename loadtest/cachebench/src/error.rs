//! Why a measurement or a suite could not be run.

use std::path::{Path, PathBuf};

use mcsp_loadtest_cluster::ClusterError;
use thiserror::Error;

/// Why a measurement or a suite could not be run. That a row failed is not among it: rows say so themselves.
#[derive(Debug, Error)]
pub enum BenchError {
    /// A process did not start, or not in time.
    #[error(transparent)]
    Process(#[from] ClusterError),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A socket of our own failed.
    #[error("{what}: {source}")]
    Socket {
        /// What was being done.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// A program that we run printed something else than it should.
    #[error("{program}: {reason}")]
    Tool {
        /// The program.
        program: String,
        /// What was wrong, with the end of what it said.
        reason: String,
    },
    /// A server's answer cannot be used.
    #[error("{0}")]
    Answer(String),
}

impl BenchError {
    /// A file that cannot be read or written.
    pub(crate) fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }

    /// A socket that failed.
    pub(crate) fn socket(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Socket {
            what: what.into(),
            source,
        }
    }

    /// A program that did not do its work.
    pub(crate) fn tool(program: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Tool {
            program: program.into(),
            reason: reason.into(),
        }
    }
}
