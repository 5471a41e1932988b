//! One request and its answer, whatever the version of HTTP.

use bytes::Bytes;
use pingora_core::protocols::Stream;

use crate::connection::Connection;
use crate::error::FetchError;
use crate::http2::Http2Stream;

/// An answer whose head was read.
#[derive(Debug)]
pub(crate) enum Exchange {
    Http1 {
        connection: Connection<Stream>,
        /// Which connections it may be reused among.
        reuse_hash: u64,
    },
    Http2(Box<Http2Stream>),
}

impl Exchange {
    /// Some more of the body; `None` at its end. May be dropped while it waits, and called again.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        match self {
            Self::Http1 { connection, .. } => connection.next().await,
            Self::Http2(stream) => stream.next().await,
        }
    }

    /// Was the end of the body seen?
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Http1 { connection, .. } => connection.is_done(),
            Self::Http2(stream) => stream.is_done(),
        }
    }
}
