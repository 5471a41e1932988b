//! Reading a body at one's own pace.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcsp_edge_mapped::Parts;
use thiserror::Error;
use tokio::sync::watch;

use crate::body::At;
use crate::disk_reading::{Room, load, load_now, lying, read_past, read_past_now};
use crate::entity::Entity;

/// Why a reader gets no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReadError {
    /// Nobody will bring this byte: the fill died, or the body was stored in part. Whoever fetches the rest may go on
    /// here, if the origin still has the same representation.
    #[error("nobody is bringing byte {at}")]
    Hole {
        /// The first byte that is missing.
        at: u64,
    },
    /// A hard purge came.
    #[error("purged")]
    Purged,
    /// No byte came for this long.
    #[error("no byte came for {waited_ms} ms")]
    Stalled {
        /// The wait, ms.
        waited_ms: u64,
    },
    /// There is no memory to load the next bytes into, and there was none for as long as one waits for it.
    #[error("no memory for the next bytes")]
    NoRoom,
}

impl ReadError {
    /// May the rest be had by asking an origin for it?
    #[must_use]
    pub fn is_retryable(self) -> bool {
        !matches!(self, Self::Purged)
    }
}

/// Reads one range of one body for one request.
#[derive(Debug)]
pub struct Reader {
    entity: Arc<Entity>,
    position: u64,
    end: u64,
    /// Known to a body that is not complete yet, so that one that streams through waits for it.
    id: Option<u64>,
    progress: Option<watch::Receiver<()>>,
}

impl Reader {
    pub(crate) fn new(entity: Arc<Entity>, range: Range<u64>) -> Self {
        let id = entity.body.attach(range.start);
        Self {
            entity,
            position: range.start,
            end: range.end,
            id,
            progress: None,
        }
    }

    /// The next byte to be read.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What it reads.
    #[must_use]
    pub fn entity(&self) -> &Arc<Entity> {
        &self.entity
    }

    /// How many bytes are brought before the next one to be read; nothing when that is here, or nobody brings it.
    #[must_use]
    pub fn brought_before(&self) -> Option<u64> {
        self.entity.body.brought_before(self.position)
    }

    /// Is the next byte one that somebody brings, but more than `far_bytes` others before it?
    #[must_use]
    pub fn is_far(&self, far_bytes: u64) -> bool {
        self.brought_before().is_some_and(|bytes| bytes > far_bytes)
    }

    /// The next piece, if it is there at once; nothing when the reader would have to wait, or at the end.
    #[must_use]
    pub fn try_next(&mut self) -> Option<Bytes> {
        self.next_now(Room::Any)
    }

    /// The piece after one that has not been sent yet, so that both go out together: if it is there at once, on the disk, and
    /// holding it as well is no burden.
    #[must_use]
    pub fn try_ahead(&mut self) -> Option<Bytes> {
        // Of what is being filled nothing is held any longer than it has to be.
        if self.entity.is_on_disk() {
            self.next_now(Room::Ahead)
        } else {
            None
        }
    }

    /// What comes next, if it can be sent from where it lies on the disk: its beginning at least, from 32 KiB up to about
    /// 2 MiB. Nothing is passed by it: see [`Self::skip`].
    #[must_use]
    pub fn try_lying(&self) -> Option<Parts> {
        const LYING_BYTES_MIN: u64 = 32 << 10;
        const LYING_BYTES_MAX: u64 = 2 << 20;
        let disk = self.entity.disk.get()?;
        if !self.entity.passes() || self.entity.is_purged() {
            return None;
        }
        match self.entity.body.at(self.position, self.end) {
            At::Hole => {
                let (range, bytes) = (self.position..self.end, (LYING_BYTES_MIN, LYING_BYTES_MAX));
                lying(&self.entity, disk, range, bytes)
            }
            At::Bytes(_) | At::End | At::Promised => None,
        }
    }

    /// Passes `bytes` that were sent in another way.
    pub fn skip(&mut self, bytes: u64) {
        self.position = self.position.saturating_add(bytes).min(self.end);
        self.advance();
    }

    fn next_now(&mut self, room: Room) -> Option<Bytes> {
        if self.entity.is_purged() {
            return None;
        }
        let bytes = match self.entity.body.at(self.position, self.end) {
            At::Bytes(bytes) => bytes,
            At::Hole => self.disk_now(room)?,
            At::End | At::Promised => return None,
        };
        self.pass(&bytes);
        Some(bytes)
    }

    /// What the disk has at this place, and the kernel in its memory.
    fn disk_now(&self, room: Room) -> Option<Bytes> {
        let disk = self.entity.disk.get()?;
        if self.entity.passes() {
            let range = self.position..self.end;
            let bytes = read_past_now(&self.entity, disk, range, room)?;
            return (!self.entity.is_purged()).then_some(bytes);
        }
        if !load_now(&self.entity, disk, self.position) {
            return None;
        }
        match self.entity.body.at(self.position, self.end) {
            At::Bytes(bytes) if !self.entity.is_purged() => Some(bytes),
            _ => None,
        }
    }

    /// The next piece; nothing at the end of the range or of the body. May be called again after an error: whoever
    /// filled the hole meanwhile made it readable.
    ///
    /// # Errors
    /// Says why there is no next piece though the end was not reached. Never mistakes a dead fill for the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        loop {
            if self.entity.is_purged() {
                return Err(ReadError::Purged);
            }
            if !self.entity.is_complete() {
                // Marked as seen before the look, so that what comes after the look wakes the wait.
                self.progress
                    .get_or_insert_with(|| self.entity.body.watch())
                    .mark_unchanged();
            }
            match self.entity.body.at(self.position, self.end) {
                At::Bytes(bytes) => {
                    self.pass(&bytes);
                    return Ok(Some(bytes));
                }
                // A purge empties the body, so what looks like a hole or the end may be one.
                At::End if !self.entity.is_purged() => return Ok(None),
                At::Hole if !self.entity.is_purged() => {
                    if let Some(bytes) = self.read_disk().await? {
                        return Ok(Some(bytes));
                    }
                }
                At::End | At::Hole => return Err(ReadError::Purged),
                At::Promised => self.wait().await?,
            }
        }
    }

    /// Brings what the disk has at this place: into memory, or for this reader alone.
    async fn read_disk(&mut self) -> Result<Option<Bytes>, ReadError> {
        let at = self.position;
        let disk = self.entity.disk.get().ok_or(ReadError::Hole { at })?;
        if !self.entity.passes() {
            match load(&self.entity, disk, at).await {
                Err(ReadError::NoRoom) => {}
                loaded => return loaded.map(|()| None),
            }
        }
        let bytes = read_past(&self.entity, disk, at..self.end).await?;
        if self.entity.is_purged() {
            return Err(ReadError::Purged);
        }
        self.pass(&bytes);
        Ok(Some(bytes))
    }

    fn pass(&mut self, bytes: &Bytes) {
        self.position += bytes.len() as u64;
        self.advance();
    }

    fn advance(&self) {
        if let Some(id) = self.id {
            self.entity.body.advance(id, self.position);
        }
    }

    async fn wait(&mut self) -> Result<(), ReadError> {
        let Some(progress) = &mut self.progress else {
            return Ok(());
        };
        let wait = self.entity.wait;
        // The sender lives in the entity that this reader holds.
        tokio::time::timeout(wait, progress.changed())
            .await
            .map(|_| ())
            .map_err(|_| ReadError::Stalled {
                waited_ms: milliseconds(wait),
            })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.entity.body.detach(id);
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
