//! Why there is no answer, or not the whole of one.

use std::error::Error as StdError;
use std::fmt;
use std::net::SocketAddr;

use pingora_error::ErrorType;
use thiserror::Error;

/// What an upstream sent that no recipient may accept (RFC 9112).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum Fault {
    /// The first line is no status line of HTTP/1.0 or HTTP/1.1.
    #[error("malformed status line")]
    StatusLine,
    /// A field line is malformed.
    #[error("malformed field line")]
    FieldLine,
    /// A line ends with LF alone, or has a CR inside.
    #[error("a line that does not end with CRLF")]
    LineEnd,
    /// A field continues on the next line (obs-fold, RFC 9112 section 5.2).
    #[error("folded field line")]
    ObsFold,
    /// The head is larger than it may be.
    #[error("head too large")]
    HeadSize,
    /// The head has more fields than it may have.
    #[error("too many fields")]
    HeadFields,
    /// More interim answers than there may be.
    #[error("too many interim answers")]
    Interim,
    /// 101, which nobody asked for.
    #[error("protocol switched unasked")]
    Switch,
    /// Differing values of `Content-Length`, or one that is no number (RFC 9112 section 6.3, rule 5).
    #[error("invalid or conflicting Content-Length")]
    ContentLength,
    /// `Transfer-Encoding` along with `Content-Length`: a sign of smuggling or splitting (RFC 9112 section 6.3, rule 3).
    #[error("both Transfer-Encoding and Content-Length")]
    BothLengths,
    /// `Transfer-Encoding` other than `chunked`, none of which was asked for, or in an answer of HTTP/1.0.
    #[error("unexpected Transfer-Encoding")]
    TransferEncoding,
    /// A chunk's size, extension or end is malformed or too long.
    #[error("malformed chunk")]
    Chunk,
    /// The trailer section is malformed or too long.
    #[error("malformed trailer section")]
    Trailer,
    /// A part (206) where all was asked for (RFC 9110 section 15.3.7): nothing says that the rest is wanted, or is there.
    #[error("a part where all was asked for")]
    UnaskedPart,
    /// What the upstream sent is not HTTP/2.
    #[error("malformed HTTP/2")]
    Http2,
}

impl Fault {
    /// A label for metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::StatusLine => "status_line",
            Self::FieldLine => "field_line",
            Self::LineEnd => "line_end",
            Self::ObsFold => "obs_fold",
            Self::HeadSize => "head_size",
            Self::HeadFields => "head_fields",
            Self::Interim => "interim",
            Self::Switch => "switch",
            Self::ContentLength => "content_length",
            Self::BothLengths => "both_lengths",
            Self::TransferEncoding => "transfer_encoding",
            Self::Chunk => "chunk",
            Self::Trailer => "trailer",
            Self::UnaskedPart => "unasked_part",
            Self::Http2 => "http2",
        }
    }
}

/// What went wrong. An answer of 5xx is an answer, not an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FetchErrorKind {
    /// The upstream is asked as much as it may be, and no turn came in time.
    #[error("no turn at the upstream")]
    Overloaded,
    /// No address is left to try, or the upstream has no name to be verified by.
    #[error("no address")]
    NoAddress,
    /// No connection: refused, unreachable, broken off.
    #[error("not connected")]
    Connect,
    /// No connection in time.
    #[error("not connected in time")]
    ConnectTimeout,
    /// No TLS session: a certificate that is not the upstream's, no common parameters.
    #[error("no TLS session")]
    Tls,
    /// The connection broke before the head was complete.
    #[error("broken off before the answer")]
    Reset,
    /// The head did not come in time.
    #[error("no answer in time")]
    HeadTimeout,
    /// The body ended early: fewer bytes than announced, no last chunk, a connection or stream that was reset.
    #[error("body cut short")]
    Truncated,
    /// The body paused for too long.
    #[error("body stalled")]
    IdleTimeout,
    /// All of it took too long.
    #[error("not done in time")]
    TotalTimeout,
    /// What came is not HTTP as the standards have it.
    #[error("{0}")]
    Protocol(Fault),
    /// The request cannot be sent.
    #[error("unusable request")]
    Request,
}

impl FetchErrorKind {
    /// A label for metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Overloaded => "overloaded",
            Self::NoAddress => "no_address",
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::Reset => "reset",
            Self::HeadTimeout => "head_timeout",
            Self::Truncated => "truncated",
            Self::IdleTimeout => "idle_timeout",
            Self::TotalTimeout => "total_timeout",
            Self::Protocol(_) => "protocol",
            Self::Request => "request",
        }
    }
}

/// Why there is no answer, or not the whole of one.
#[derive(Debug)]
pub struct FetchError {
    /// What went wrong.
    pub kind: FetchErrorKind,
    /// The address that was being asked.
    pub address: Option<SocketAddr>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl FetchError {
    pub(crate) fn new(kind: FetchErrorKind) -> Self {
        Self {
            kind,
            address: None,
            cause: None,
        }
    }

    pub(crate) fn because(
        kind: FetchErrorKind,
        cause: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            address: None,
            cause: Some(cause.into()),
        }
    }

    pub(crate) fn at(mut self, address: Option<SocketAddr>) -> Self {
        self.address = self.address.or(address);
        self
    }

    /// A connection that could not be made.
    pub(crate) fn connect(error: Box<pingora_error::Error>) -> Self {
        let kind = match error.etype() {
            ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => {
                FetchErrorKind::ConnectTimeout
            }
            ErrorType::TLSHandshakeFailure
            | ErrorType::TLSWantX509Lookup
            | ErrorType::InvalidCert
            | ErrorType::HandshakeError => FetchErrorKind::Tls,
            _ => FetchErrorKind::Connect,
        };
        Self::because(kind, error)
    }

    /// May the same request succeed when it is made again, later or elsewhere?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind != FetchErrorKind::Request
    }

    /// Was the request certainly not received by the upstream?
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        use FetchErrorKind::{Connect, ConnectTimeout, NoAddress, Overloaded, Request, Tls};
        matches!(
            self.kind,
            Connect | ConnectTimeout | Tls | NoAddress | Overloaded | Request
        )
    }

    /// Was it a wait that ended?
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        use FetchErrorKind::{ConnectTimeout, HeadTimeout, IdleTimeout, TotalTimeout};
        matches!(
            self.kind,
            ConnectTimeout | HeadTimeout | IdleTimeout | TotalTimeout
        )
    }

    /// The status that a gateway answers with (RFC 9110 section 15.6): 502, 503 or 504. Each is one of those for which
    /// `stale-if-error` holds (RFC 5861 section 4).
    #[must_use]
    pub fn status(&self) -> http::StatusCode {
        match self.kind {
            FetchErrorKind::Overloaded | FetchErrorKind::NoAddress => {
                http::StatusCode::SERVICE_UNAVAILABLE
            }
            _ if self.is_timeout() => http::StatusCode::GATEWAY_TIMEOUT,
            _ => http::StatusCode::BAD_GATEWAY,
        }
    }
}

impl From<FetchErrorKind> for FetchError {
    fn from(kind: FetchErrorKind) -> Self {
        Self::new(kind)
    }
}

impl From<Fault> for FetchError {
    fn from(fault: Fault) -> Self {
        Self::new(FetchErrorKind::Protocol(fault))
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "upstream {address}: {}", self.kind),
            None => write!(f, "upstream: {}", self.kind),
        }
    }
}

impl StdError for FetchError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause
            .as_deref()
            .map(|cause| cause as &(dyn StdError + 'static))
    }
}
