//! What is asked, and what came back.

use http::{HeaderMap, Method};
use tokio::time::Instant;
use url::Url;

/// One request.
#[derive(Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// Absolute, `http` or `https`.
    pub url: &'a Url,
    /// Fields beside `host` and `content-length`. Names must be tokens; what cannot be sent is left out.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: Body<'a>,
    /// When it must be over, body and all.
    pub deadline: Option<Instant>,
}

impl<'a> Request<'a> {
    /// A GET without deadline.
    #[must_use]
    pub fn get(url: &'a Url, headers: &'a [(&'a str, &'a str)]) -> Self {
        Self {
            method: Method::GET,
            url,
            headers,
            body: Body::Empty,
            deadline: None,
        }
    }

    /// Whether it may be sent again when nobody knows what became of it (RFC 9110 section 9.2.2).
    pub(crate) fn is_idempotent(&self) -> bool {
        self.method.is_idempotent()
    }
}

/// A body of known length that is made while it is sent.
pub trait Upload: Send + Sync {
    /// Its length, bytes.
    fn length(&self) -> u64;
    /// Fills the buffer with what lies at `offset`; never asked beyond the length.
    fn read_at(&self, offset: u64, buffer: &mut [u8]);
    /// After how many bytes the user goes away; none: they stay.
    fn breaks_after(&self) -> Option<u64> {
        None
    }
}

/// A request's body.
#[derive(Clone, Copy)]
pub enum Body<'a> {
    /// None.
    Empty,
    /// These bytes.
    Bytes(&'a [u8]),
    /// Made while it is sent.
    Upload(&'a dyn Upload),
}

impl std::fmt::Debug for Body<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Body({:?})", self.length())
    }
}

impl Body<'_> {
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Self::Empty => None,
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Upload(upload) => Some(upload.length()),
        }
    }

    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) {
        match self {
            Self::Empty => {}
            Self::Bytes(bytes) => {
                let from = usize::try_from(offset)
                    .unwrap_or(bytes.len())
                    .min(bytes.len());
                for (to, byte) in buffer.iter_mut().zip(bytes.iter().skip(from)) {
                    *to = *byte;
                }
            }
            Self::Upload(upload) => upload.read_at(offset, buffer),
        }
    }

    pub(crate) fn breaks_after(&self) -> Option<u64> {
        match self {
            Self::Upload(upload) => upload.breaks_after(),
            _ => None,
        }
    }
}

/// When what happened, µs after the run's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// The request was handed over.
    pub started_us: u64,
    /// How long the TCP connection took, µs; none when one was there.
    pub connect_us: Option<u64>,
    /// How long the TLS handshake took, µs; none when there was none.
    pub tls_us: Option<u64>,
    /// The answer's first byte was there; 0 when it never was.
    pub first_byte_us: u64,
    /// The last byte was there, or the exchange failed.
    pub last_byte_us: u64,
}

/// How the end of a body was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none by method or status.
    None,
    /// By `content-length`.
    Length(u64),
    /// By chunks, or by HTTP/2's end of the stream.
    Stream,
    /// By the end of the connection: nobody can tell whether it is whole.
    Close,
}

/// A whole answer; its body went to the sink.
#[derive(Debug)]
pub struct Answer {
    /// Its status, 200 to 999.
    pub status: u16,
    /// Its fields.
    pub headers: HeaderMap,
    /// Of the body, bytes.
    pub body_bytes: u64,
    /// How its end was told.
    pub framing: Framing,
    /// When what happened.
    pub times: Times,
    /// Whether it came over HTTP/2.
    pub is_h2: bool,
}

impl Answer {
    /// A field's first value, when it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
