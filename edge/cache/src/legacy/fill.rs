//! A fill in flight: written by one request, read by all who wait for it.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::RwLock;
use thiserror::Error;
use tokio::sync::watch;

use crate::legacy::body::ChunkList;
use crate::legacy::budget::Reservation;
use crate::legacy::meta::StoredMeta;
use crate::legacy::object::Subject;

/// Why a fill did not become an object. Readers get it as their error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum FillFailure {
    #[error("the origin's response broke off")]
    Aborted,
    #[error("the response has {got} bytes where its Content-Length says {expected}")]
    Length { expected: u64, got: u64 },
    #[error("the memory for fills in flight is full")]
    Memory,
    #[error("the response is larger than the cache takes")]
    TooLarge,
}

/// Where a fill stands. There is no state that could be mistaken for the end: a fill is over when it says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FillState {
    Open,
    Complete,
    Failed(FillFailure),
}

/// What readers wait on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) bytes: u64,
    pub(crate) state: FillState,
}

#[derive(Debug)]
pub(crate) struct Fill {
    pub(crate) id: u64,
    pub(crate) subject: Subject,
    /// The generation in which the response was asked for.
    pub(crate) generation: u64,
    pub(crate) meta: StoredMeta,
    body: RwLock<ChunkList>,
    progress: watch::Sender<Progress>,
    reservation: Reservation,
    object_bytes_max: u64,
    superseded: AtomicBool,
}

impl Fill {
    pub(crate) fn new(
        id: u64,
        subject: Subject,
        generation: u64,
        meta: StoredMeta,
        reservation: Reservation,
        object_bytes_max: u64,
    ) -> Self {
        Self {
            id,
            subject,
            generation,
            meta,
            body: RwLock::new(ChunkList::default()),
            progress: watch::Sender::new(Progress {
                bytes: 0,
                state: FillState::Open,
            }),
            reservation,
            object_bytes_max,
            superseded: AtomicBool::new(false),
        }
    }

    /// A watch on the fill; the sender lives as long as the fill does.
    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Appends what came from the origin.
    pub(crate) fn append(&self, data: Bytes) -> Result<(), FillFailure> {
        let bytes = {
            let mut body = self.body.write();
            let bytes = body.len() + data.len() as u64;
            if bytes > self.object_bytes_max {
                return Err(FillFailure::TooLarge);
            }
            if !self.reservation.grow_to(bytes) {
                return Err(FillFailure::Memory);
            }
            body.push(data);
            bytes
        };
        self.progress.send_modify(|progress| progress.bytes = bytes);
        Ok(())
    }

    /// The first word about the end counts, later ones change nothing.
    pub(crate) fn settle(&self, state: FillState) {
        self.progress.send_if_modified(|progress| {
            let open = progress.state == FillState::Open;
            if open {
                progress.state = state;
            }
            open
        });
    }

    pub(crate) fn slice_at(&self, position: u64, end: u64) -> Option<Bytes> {
        self.body.read().slice_at(position, end)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.progress.borrow().bytes
    }

    /// The body in chunks fit for keeping.
    pub(crate) fn coalesced(&self, chunk_bytes: usize) -> ChunkList {
        self.body.read().coalesced(chunk_bytes)
    }

    /// Says that a purge came after the fill was asked for.
    pub(crate) fn supersede(&self) {
        self.superseded.store(true, Ordering::Release);
    }

    pub(crate) fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::Acquire)
    }
}
