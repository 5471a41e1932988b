//! Why a cluster does not do what it should.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a cluster does not do what it should.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A program cannot be started.
    #[error("{name}: cannot start {program}: {source}")]
    Start {
        /// The process.
        name: String,
        /// The program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A process is not ready in time.
    #[error("{name} is not ready: {state}; the end of its log:\n{log}")]
    NotReady {
        /// The process.
        name: String,
        /// What it does instead.
        state: &'static str,
        /// The end of its log.
        log: String,
    },
    /// A request had no answer.
    #[error("{what}: {source}")]
    Http {
        /// What was asked.
        what: String,
        /// Why.
        source: reqwest::Error,
    },
    /// A request had another answer than it must have.
    #[error("{what}: answered {status}: {body}")]
    Answer {
        /// What was asked.
        what: String,
        /// The status.
        status: u16,
        /// The body's beginning.
        body: String,
    },
    /// Something that must hold does not.
    #[error("{0}")]
    Broken(String),
    /// The machine's certificate authority failed.
    #[error("workload certificates: {0}")]
    Identity(String),
}

impl ClusterError {
    /// A file that cannot be read or written.
    #[must_use]
    pub fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }
}
