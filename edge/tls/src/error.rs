//! What can be wrong with certificates.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why there is no TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A value is out of range.
    #[error("tls.{key} = {value}: expected {expected}")]
    Config {
        /// The key.
        key: &'static str,
        /// Its value.
        value: u64,
        /// What was expected.
        expected: &'static str,
    },
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What a file holds cannot be used.
    #[error("{path}: {reason}")]
    Material {
        /// The file.
        path: PathBuf,
        /// What is wrong and what was expected.
        reason: String,
    },
    /// rustls refuses the configuration.
    #[error("tls configuration: {0}")]
    Rustls(#[from] rustls::Error),
}

impl TlsError {
    pub(crate) fn config(key: &'static str, value: u64, expected: &'static str) -> Self {
        Self::Config {
            key,
            value,
            expected,
        }
    }

    pub(crate) fn material(path: &Path, reason: impl Into<String>) -> Self {
        Self::Material {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}
