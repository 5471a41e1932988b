//! What of a connection's answers was taken for sending and has not left yet.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Buf, Bytes};
use tokio::sync::Notify;

/// Of all streams together, beside answers that are handed over at once. A client that gives room and reads nothing keeps
/// no more than this here, however many streams it opens.
const BYTES_MAX: usize = 2 << 20;
/// Those who wait go on from here: all of them at once, so not for every frame that leaves.
const BYTES_LESS: usize = BYTES_MAX / 2;

/// Counts the bytes of one connection that wait. They have room in the client's windows already, so that they leave as the
/// client reads, and whoever waits for them to become less does not wait for itself.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    bytes: AtomicUsize,
    is_less: Notify,
}

impl Backlog {
    /// Bytes to send, counted until they have left or their stream is gone.
    pub(crate) fn queue(self: &Arc<Self>, bytes: Bytes) -> Queued {
        let length = bytes.len();
        self.bytes.fetch_add(length, Ordering::SeqCst);
        let counted = Counted {
            backlog: Arc::clone(self),
            length,
        };
        Queued {
            bytes,
            _counted: Some(counted),
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) >= BYTES_MAX
    }

    /// Waits, where it is full, until it is not nearly so any more.
    pub(crate) async fn has_room(&self) {
        while self.is_full() {
            let mut is_less = pin!(self.is_less.notified());
            is_less.as_mut().enable();
            if self.is_full() {
                is_less.await;
            }
        }
    }
}

/// Bytes on their way into frames.
#[derive(Debug)]
pub(crate) struct Queued {
    bytes: Bytes,
    _counted: Option<Counted>,
}

impl Queued {
    /// Bytes that are not counted.
    pub(crate) const fn at_once(bytes: Bytes) -> Self {
        Self {
            bytes,
            _counted: None,
        }
    }
}

impl Buf for Queued {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        self.bytes.copy_to_bytes(length)
    }
}

#[derive(Debug)]
struct Counted {
    backlog: Arc<Backlog>,
    length: usize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let before = self.backlog.bytes.fetch_sub(self.length, Ordering::SeqCst);
        if before >= BYTES_LESS && before - self.length < BYTES_LESS {
            self.backlog.is_less.notify_waiters();
        }
    }
}
