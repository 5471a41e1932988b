//! Why an identity cannot be made, read or believed.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::SpiffeIdError;

/// What kind of fault an [`IdentityError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityErrorKind {
    /// A file cannot be read or written.
    File,
    /// A file's content, a key or a certificate cannot be used.
    Material,
    /// A certificate does not carry exactly one usable SPIFFE name.
    Name,
}

/// Why an identity cannot be made, read or believed.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// A file cannot be read or written.
    #[error("identity file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file's content cannot be used.
    #[error("identity file {path}: {reason}")]
    Material {
        /// The file.
        path: PathBuf,
        /// What was found, and what was expected.
        reason: String,
    },
    /// The certificate authority cannot make a key or a certificate.
    #[error("certificate authority: {0}")]
    Issue(#[from] rcgen::Error),
    /// rustls refuses the key, the certificate or the authority.
    #[error("identity cannot be used for TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// A certificate names no workload, or more than one.
    #[error("peer certificate: {0}")]
    PeerCertificate(String),
    /// A SPIFFE name is malformed.
    #[error(transparent)]
    Name(#[from] SpiffeIdError),
}

impl IdentityError {
    /// What kind of fault this is.
    #[must_use]
    pub fn kind(&self) -> IdentityErrorKind {
        match self {
            Self::File { .. } => IdentityErrorKind::File,
            Self::Material { .. } | Self::Issue(_) | Self::Tls(_) => IdentityErrorKind::Material,
            Self::PeerCertificate(_) | Self::Name(_) => IdentityErrorKind::Name,
        }
    }

    /// May the same call succeed later, without a change of configuration? A file may be in the middle of its
    /// replacement; a wrong name stays wrong.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind(),
            IdentityErrorKind::File | IdentityErrorKind::Material
        )
    }

    pub(crate) fn file(path: &Path, source: std::io::Error) -> Self {
        Self::File {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn material(path: &Path, reason: impl Into<String>) -> Self {
        Self::Material {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}
