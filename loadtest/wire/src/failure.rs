//! What goes wrong between a user and a node.

use crate::request::Times;

/// Why there is no whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The target is neither loopback nor listed as allowed, or its URL is none for HTTP.
    Refused,
    /// Its name has no address.
    Resolve,
    /// No connection.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// No TLS.
    Tls,
    /// No head in time.
    HeadTimeout,
    /// A pause in the body that was too long, or the request's deadline in the middle of it.
    BodyTimeout,
    /// A head larger than the bound, or with more fields than it may have.
    HeadTooLarge,
    /// A head that is none, or whose framing contradicts itself.
    BadHead,
    /// A chunk that is none, or bytes after the answer.
    BadBody,
    /// The answer ended before it was whole.
    Truncated,
    /// The connection broke before there was a head.
    Reset,
    /// An HTTP/2 error of the peer.
    Protocol,
    /// The request's own body broke off, as it was meant to.
    BrokenOff,
}

impl FailureKind {
    /// A word for reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect-timeout",
            Self::Tls => "tls",
            Self::HeadTimeout => "head-timeout",
            Self::BodyTimeout => "body-timeout",
            Self::HeadTooLarge => "head-too-large",
            Self::BadHead => "bad-head",
            Self::BadBody => "bad-body",
            Self::Truncated => "truncated",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
            Self::BrokenOff => "broken-off",
        }
    }

    /// Whether time ran out.
    #[must_use]
    pub fn is_timeout(self) -> bool {
        matches!(
            self,
            Self::ConnectTimeout | Self::HeadTimeout | Self::BodyTimeout
        )
    }

    /// Whether the same request may fare better later.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        !matches!(self, Self::Refused | Self::BrokenOff)
    }
}

/// An exchange without a whole answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {detail}", kind.name())]
pub struct Failure {
    /// What happened.
    pub kind: FailureKind,
    /// More of it, for people.
    pub detail: String,
    /// How far it got.
    pub times: Times,
    /// The status, when there was a head.
    pub status: Option<u16>,
    /// What came of the body, bytes.
    pub body_bytes: u64,
    /// What its head promised, bytes.
    pub declared_bytes: Option<u64>,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, detail: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            kind,
            detail: detail.into(),
            times: Times::default(),
            status: None,
            body_bytes: 0,
            declared_bytes: None,
        })
    }

    /// See [`FailureKind::is_retryable`].
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind.is_retryable()
    }
}

/// Why a [`crate::Network`] cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The file with authorities cannot be read.
    #[error("{path}: {source}")]
    CaFile {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It holds none, or one that is none.
    #[error("{path}: expected PEM certificates of authorities: {detail}")]
    Authorities {
        /// Which.
        path: String,
        /// Why.
        detail: String,
    },
    /// The TLS library refuses its settings.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl NetworkError {
    /// Whether trying again may help: never.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}
