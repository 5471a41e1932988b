//! The socket of a connection with nothing in between.

use std::os::fd::{AsRawFd as _, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use pingora_core::protocols::Stream;

use crate::TcpConnection;
use crate::counted::{Counted, Here};

/// A connection's socket, to which may be sent past its stream.
#[derive(Debug, Clone, Copy)]
pub struct BareSocket<'c> {
    descriptor: RawFd,
    past: Option<&'c AtomicU64>,
}

impl BareSocket<'_> {
    /// The socket's number. What the stream has taken and not written yet must be flushed before anything is sent to it.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.descriptor
    }

    /// So many bytes were sent past the stream; counted at its next flush.
    pub fn sent(&self, bytes: u64) {
        if let Some(past) = self.past {
            past.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

/// The socket of `connection`, where what is written to the one goes to the other as it is; nothing where there is TLS in
/// between, or anything that is not known here.
#[must_use]
pub fn bare_socket(connection: &Stream) -> Option<BareSocket<'_>> {
    let connection = (**connection).as_any();
    let (descriptor, past) = match connection.downcast_ref::<Counted<Here<TcpConnection>>>() {
        Some(counted) => {
            let (descriptor, past) = counted.socket();
            (descriptor, Some(past))
        }
        None => (
            connection.downcast_ref::<TcpConnection>()?.as_raw_fd(),
            None,
        ),
    };
    // One that is no socket of the system's has no number.
    (descriptor >= 0).then_some(BareSocket { descriptor, past })
}
