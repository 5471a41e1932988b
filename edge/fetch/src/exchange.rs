//! One request and its answer, whatever the version of HTTP.

use bytes::Bytes;
use pingora_core::protocols::Stream;

use crate::connection::Connection;
use crate::error::FetchError;

/// An answer whose head was read.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) connection: Connection<Stream>,
    /// Which connections it may be reused among.
    pub(crate) reuse_hash: u64,
}

impl Exchange {
    /// Some more of the body; `None` at its end. May be dropped while it waits, and called again.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        self.connection.next().await
    }

    /// Was the last byte of the body taken?
    pub(crate) fn is_done(&self) -> bool {
        self.connection.is_done()
    }
}
