//! What ends a stream or a connection.

use std::fmt;

use thiserror::Error;

/// An error code (RFC 9113 section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub u32);

impl Code {
    /// Nothing is wrong.
    pub const NO_ERROR: Self = Self(0);
    /// The protocol was broken in a way that no other code tells.
    pub const PROTOCOL_ERROR: Self = Self(1);
    /// Something went wrong on the sender's side.
    pub const INTERNAL_ERROR: Self = Self(2);
    /// More was sent than a window allowed, or a window grew too large.
    pub const FLOW_CONTROL_ERROR: Self = Self(3);
    /// Settings were not acknowledged in time.
    pub const SETTINGS_TIMEOUT: Self = Self(4);
    /// A frame for a stream that is closed.
    pub const STREAM_CLOSED: Self = Self(5);
    /// A frame of a size that it may not have.
    pub const FRAME_SIZE_ERROR: Self = Self(6);
    /// A request that was not looked at: it may be sent again.
    pub const REFUSED_STREAM: Self = Self(7);
    /// The stream is of no use any more.
    pub const CANCEL: Self = Self(8);
    /// The table of the header compression cannot be kept.
    pub const COMPRESSION_ERROR: Self = Self(9);
    /// A `CONNECT` tunnel broke.
    pub const CONNECT_ERROR: Self = Self(10);
    /// The other side does what costs too much.
    pub const ENHANCE_YOUR_CALM: Self = Self(11);
    /// The TLS below is not good enough.
    pub const INADEQUATE_SECURITY: Self = Self(12);
    /// HTTP/1.1 is to be used.
    pub const HTTP_1_1_REQUIRED: Self = Self(13);
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 14] = [
            "NO_ERROR",
            "PROTOCOL_ERROR",
            "INTERNAL_ERROR",
            "FLOW_CONTROL_ERROR",
            "SETTINGS_TIMEOUT",
            "STREAM_CLOSED",
            "FRAME_SIZE_ERROR",
            "REFUSED_STREAM",
            "CANCEL",
            "COMPRESSION_ERROR",
            "CONNECT_ERROR",
            "ENHANCE_YOUR_CALM",
            "INADEQUATE_SECURITY",
            "HTTP_1_1_REQUIRED",
        ];
        let name = usize::try_from(self.0).ok().and_then(|at| NAMES.get(at));
        match name {
            Some(name) => formatter.write_str(name),
            None => write!(formatter, "error {:#x}", self.0),
        }
    }
}

/// The connection is to be ended (RFC 9113 section 5.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{code}: {why}")]
pub struct ConnectionError {
    /// What the other side is told.
    pub code: Code,
    /// What it did, for people.
    pub why: &'static str,
}

impl ConnectionError {
    /// The other side did what it may not.
    #[must_use]
    pub const fn new(code: Code, why: &'static str) -> Self {
        Self { code, why }
    }

    /// `PROTOCOL_ERROR`.
    #[must_use]
    pub const fn protocol(why: &'static str) -> Self {
        Self::new(Code::PROTOCOL_ERROR, why)
    }

    /// `FRAME_SIZE_ERROR`.
    #[must_use]
    pub const fn size(why: &'static str) -> Self {
        Self::new(Code::FRAME_SIZE_ERROR, why)
    }
}

/// A stream is to be reset (RFC 9113 section 5.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("stream {stream}: {code}: {why}")]
pub struct StreamError {
    /// Which.
    pub stream: u32,
    /// What the other side is told.
    pub code: Code,
    /// What it did, for people.
    pub why: &'static str,
}

impl StreamError {
    /// The other side did on a stream what it may not.
    #[must_use]
    pub const fn new(stream: u32, code: Code, why: &'static str) -> Self {
        Self { stream, code, why }
    }
}
