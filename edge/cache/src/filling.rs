//! Bringing a body: the one writer of a stretch of it.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use crate::account::{Share, counted};
use crate::body::CHUNK_BYTES;
use crate::entity::Entity;
use crate::head::StoredHead;
use crate::store::Store;
use crate::vary::Variant;

/// Runs of a chunk that are made one when there are more, so that a body that drips in does not become a list of drops.
const RUNS_MAX: u64 = 64;

/// How long a response that streams through waits for its first reader, and after its last one.
const ATTACH_GRACE: Duration = Duration::from_secs(1);

/// What of the body the response brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyPlan {
    /// All of it, and its length if the response says so.
    Whole {
        /// Bytes, by `Content-Length`.
        total_len: Option<u64>,
    },
    /// A part (206); the entity is stored with holes, which later parts may fill. The caller has made sure that the
    /// response has a strong validator.
    Part {
        /// Which bytes.
        range: Range<u64>,
        /// The length of the whole.
        total_len: u64,
    },
}

/// A response to be stored.
#[derive(Debug)]
pub struct NewResponse {
    /// Status, header fields (of the whole, with its `Content-Length` if known) and lifetimes.
    pub head: StoredHead,
    /// Which bytes come.
    pub body: BodyPlan,
    /// Its selecting headers, with this request's values.
    pub variant: Variant,
    /// Its surrogate keys; see [`crate::engine::surrogate_keys`].
    pub tags: Vec<Arc<str>>,
}

/// Why a response is not stored. Pass it through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refused {
    /// Larger than what is stored.
    #[error("the response is larger than what is stored")]
    TooLarge,
    /// There is no memory for it: fills take all of theirs, or slow readers hold what left.
    #[error("there is no memory for the response")]
    NoRoom,
    /// It has more surrogate keys, or longer ones, than the index takes, so that a purge might not find it.
    #[error("the response has too many surrogate keys")]
    SurrogateKeys,
    /// The part lies outside of the whole, or the origin's representation is not the one that is stored.
    #[error("the part does not fit the stored response")]
    Mismatch,
}

impl Refused {
    /// A word for `Cache-Status` details, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::NoRoom => "no-room",
            Self::SurrogateKeys => "surrogate-keys",
            Self::Mismatch => "mismatch",
        }
    }
}

/// Why a fill ended before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FillError {
    /// The origin's response broke off.
    #[error("the origin's response broke off")]
    Aborted,
    /// The response has more or fewer bytes than it said.
    #[error("the response has {got} bytes where it said {expected}")]
    Length {
        /// Where the stretch was to end.
        expected: u64,
        /// Where it ended, or would have.
        got: u64,
    },
    /// There is no memory for the next bytes, and the body cannot stream through.
    #[error("the memory for fills is full")]
    NoRoom,
    /// A hard purge came; nobody may get another byte.
    #[error("purged")]
    Purged,
    /// The response streams through and nobody reads it any more.
    #[error("nobody reads it")]
    Abandoned,
}

impl FillError {
    /// A word for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::Length { .. } => "length",
            Self::NoRoom => "no_room",
            Self::Purged => "purged",
            Self::Abandoned => "abandoned",
        }
    }
}

/// What became of a fill that came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The whole body is stored.
    Complete,
    /// A part of it is.
    Part,
    /// Its readers had it; it is not stored: a purge came since it was asked for, it streamed through, or something newer
    /// is stored.
    Not,
}

/// What a fill takes before it begins.
#[derive(Debug)]
pub(crate) struct FillRoom {
    /// Of what fills may take together.
    pub(crate) share: Share,
    /// The memory for the bytes to come, as far as their number is known.
    pub(crate) memory: Share,
}

/// Writes one stretch of a body, from its start on. Dropped before [`Self::complete`], it fails, and readers learn so.
#[derive(Debug)]
pub struct Filling {
    store: Arc<Store>,
    entity: Arc<Entity>,
    claim: u64,
    start: u64,
    position: u64,
    end: Option<u64>,
    room: FillRoom,
    /// Where the runs that are not merged yet begin, and how many there are.
    ragged_from: u64,
    ragged: u64,
    may_stream: bool,
    streams: bool,
    is_lent: bool,
    over: bool,
}

impl Filling {
    pub(crate) fn new(
        store: Arc<Store>,
        entity: Arc<Entity>,
        claim: u64,
        (start, end): (u64, Option<u64>),
        room: FillRoom,
        may_stream: bool,
    ) -> Self {
        Self {
            store,
            entity,
            claim,
            start,
            position: start,
            end,
            room,
            ragged_from: start,
            ragged: 0,
            may_stream,
            streams: false,
            is_lent: false,
            over: false,
        }
    }

    /// For those alone who waited for its head: some of them may not have come to read it yet.
    pub(crate) fn lent(mut self) -> Self {
        self.is_lent = true;
        self
    }

    /// What is being filled.
    #[must_use]
    pub fn entity(&self) -> &Arc<Entity> {
        &self.entity
    }

    /// The next byte to be written.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Where the stretch ends, if that is known.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        self.end
    }

    /// Was it asked for before a purge that reaches it? Then its own request may read it, no newcomer does, and it is not
    /// stored.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        self.entity.is_withdrawn() && !self.streams
    }

    /// Does it outgrow what is stored, and so go at the pace of its readers?
    #[must_use]
    pub fn is_streaming(&self) -> bool {
        self.streams
    }

    /// Is anybody going to read what comes: a reader now, or newcomers?
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        !self.entity.is_withdrawn()
            || self.entity.body.let_go().1 > 0
            // Nobody finds it any more who does not have it.
            || self.is_lent && Arc::strong_count(&self.entity) > 1
    }

    /// Takes the next bytes. Waits only when the body streams through: for its slowest reader, and for that a bounded
    /// time, after which that reader is left behind.
    ///
    /// # Errors
    /// Says why the fill is over. What was written before stays readable to those who read now.
    pub async fn write(&mut self, mut data: Bytes) -> Result<(), FillError> {
        let got = self.position + data.len() as u64;
        if let Some(expected) = self.end.filter(|end| got > *end) {
            return Err(self.end_with(FillError::Length { expected, got }));
        }
        while !data.is_empty() {
            let border = (self.position / CHUNK_BYTES + 1) * CHUNK_BYTES;
            let room = usize::try_from(border - self.position).unwrap_or(usize::MAX);
            let piece = data.split_to(data.len().min(room));
            if let Err(error) = self.take_in(&piece).await {
                return Err(self.end_with(error));
            }
        }
        Ok(())
    }

    async fn take_in(&mut self, piece: &Bytes) -> Result<(), FillError> {
        if self.over || self.entity.is_purged() {
            return Err(FillError::Purged);
        }
        let kept = match self.keep(piece) {
            Some(kept) => kept,
            None => self.stream(piece).await?,
        };
        self.entity.body.put(self.claim, &kept);
        self.position += piece.len() as u64;
        self.ragged += 1;
        if self.position.is_multiple_of(CHUNK_BYTES) || self.ragged >= RUNS_MAX {
            self.merge();
        }
        Ok(())
    }

    /// A counted copy; nothing when it does not fit, or when the body streams through.
    fn keep(&mut self, piece: &[u8]) -> Option<Bytes> {
        if self.streams {
            return None;
        }
        let len = piece.len() as u64;
        if self.end.is_some() {
            // What is known to come was checked when the fill began, and the memory taken.
            let share = self.room.memory.split(len)?;
            return Some(counted(Bytes::copy_from_slice(piece), share));
        }
        let fits = self.position + len <= self.store.config.object_bytes_max;
        if !fits || !self.room.share.grow(len) {
            return None;
        }
        self.store.keep(piece)
    }

    /// Waits until the slowest reader has made room in the window.
    async fn stream(&mut self, piece: &[u8]) -> Result<Bytes, FillError> {
        if !self.may_stream {
            return Err(FillError::NoRoom);
        }
        if !self.streams {
            self.streams = true;
            self.store.withdraw(&self.entity);
            self.entity.body.stream();
            self.store.metrics.fill("streamed");
        }
        let window = self.store.config.stream_window_bytes;
        let len = piece.len() as u64;
        loop {
            let (held, readers) = self.entity.body.let_go();
            if self.entity.is_purged() {
                return Err(FillError::Purged);
            }
            if readers == 0 {
                // Whoever was handed the entity may not have come to read it yet.
                let waits = tokio::time::timeout(ATTACH_GRACE, self.entity.body.drained()).await;
                if waits.is_err() {
                    return Err(FillError::Abandoned);
                }
                continue;
            }
            if held == 0 || held + len <= window {
                if let Some(kept) = self.store.keep(piece) {
                    return Ok(kept);
                }
                if held == 0 {
                    // Its readers' answers have begun: they wait for memory with the others.
                    let account = &self.store.account;
                    let attempt = || self.store.take_before_stored(len);
                    let share = account.in_turn(self.entity.wait, attempt).await;
                    let share = share.ok_or(FillError::NoRoom)?;
                    return Ok(counted(Bytes::copy_from_slice(piece), share));
                }
            }
            let drained = tokio::time::timeout(self.entity.wait, self.entity.body.drained());
            if drained.await.is_err() {
                self.entity.body.overrun();
            }
        }
    }

    /// Makes one run of what came since the last merge, if there is memory for the copy.
    fn merge(&mut self) {
        let body = &self.entity.body;
        let (len, runs) = body.runs_within(self.ragged_from, self.position);
        if runs > 1
            && !self.streams
            && let Some(share) = self.store.take(len)
        {
            body.merge(self.ragged_from, len, share);
        }
        if self.position.is_multiple_of(CHUNK_BYTES) {
            self.ragged_from = self.position;
        }
        self.ragged = 0;
    }

    /// The origin said that this is all, or others have brought all that was missing. Stores the body if it may be stored.
    ///
    /// # Errors
    /// When the stretch has fewer bytes than it was to have; then it has failed.
    pub fn complete(mut self) -> Result<Stored, FillError> {
        if self.over {
            return Err(FillError::Aborted);
        }
        let expected = self.end.filter(|_| !self.entity.is_complete());
        if let Some(expected) = expected.filter(|end| self.position != *end) {
            let got = self.position;
            return Err(self.end_with(FillError::Length { expected, got }));
        }
        self.merge();
        self.over = true;
        self.entity.body.release(self.claim, self.end.is_none());
        Ok(self.store.settle(&self.entity))
    }

    /// The fill died: readers get what was written and then an error, and nothing is stored that was not before.
    pub fn fail(mut self, error: FillError) {
        self.end_with(error);
    }

    /// How many bytes it brought.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.position - self.start
    }

    fn end_with(&mut self, error: FillError) -> FillError {
        if !self.over {
            self.over = true;
            // Readers that learn of the hole may ask why.
            self.entity.note_failure(error);
            self.entity.body.release(self.claim, false);
            self.store.abandon(&self.entity, error);
        }
        error
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.end_with(FillError::Aborted);
    }
}
