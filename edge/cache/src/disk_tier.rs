//! What the engine asks of a disk tier. The tier keeps bytes; what may be served of them is the engine's to decide.
//!
//! Rules of the boundary:
//! - Only complete bodies are stored. Chunks are written first, the record last, so that a record that is found names
//!   chunks that were written. A chunk that is missing or whose checksum fails is `Ok(None)`, never other bytes.
//! - Purges are not the tier's business: the engine compares each record's generation with the purge history that it
//!   keeps beside the tier. [`DiskTier::remove`] only gives space back early.
//! - No call may block its thread, and each future ends within the tier's own deadline.

use std::fmt::Debug;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use mcsp_edge_mapped::Part;
use serde::Serialize;
use thiserror::Error;

use crate::key::KeyHash;

/// One response head, and where its body's chunks are. What a tier reads may share one piece of memory: values of
/// [`Self::headers`] and [`Self::body`] are counted together by whoever keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskHead {
    /// The cache key's text; compared at each load, since a hash alone is no proof.
    pub key: Arc<str>,
    /// The variant's selecting headers: lower-case name and normalised value, nothing for an absent header. Empty
    /// when the response has no `Vary`.
    pub vary: Vec<(String, Option<Vec<u8>>)>,
    /// The response's status.
    pub status: u16,
    /// The response's header fields.
    pub headers: HeaderMap,
    /// Ages and lifetimes.
    pub lifetimes: DiskLifetimes,
    /// The purge generation in which the response (or its last revalidation) was asked for.
    pub generation: u64,
    /// The purge generation in which the body was asked for.
    pub body_generation: u64,
    /// Surrogate keys.
    pub tags: Arc<[Arc<str>]>,
    /// Bytes of the whole body.
    pub total_len: u64,
    /// Bytes of each chunk but the last.
    pub chunk_bytes: u32,
    /// Tells bodies under one slot apart; unique over restarts. Chunks are found by it and their index.
    pub body_id: u128,
    /// The whole body, when it is in the record itself: a short one is read with its head. It has no chunks then.
    pub body: Option<Bytes>,
}

/// Times in milliseconds since the Unix epoch, or lengths in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiskLifetimes {
    /// When the response was received.
    pub received_ms: i64,
    /// How old it was then.
    pub initial_age_ms: i64,
    /// Fresh until then.
    pub fresh_until_ms: i64,
    /// May be served while it is revalidated until then.
    pub stale_while_revalidate_until_ms: i64,
    /// May be served instead of an error until then.
    pub stale_if_error_until_ms: i64,
    /// The policy's own marks, opaque to the cache.
    pub flags: u32,
}

/// What a slot of the disk tier holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskRecord {
    /// A response.
    Head(Box<DiskHead>),
    /// Under a key's own hash, when its responses vary: the sets of selecting header names, the newest first. The
    /// responses are in slots of their own.
    Rules {
        /// The cache key's text.
        key: String,
        /// Lower-case header names of each rule.
        rules: Vec<Vec<String>>,
        /// Variants whose body was asked for in an earlier purge generation are not of this set: the set that they were of
        /// was taken away.
        since: u64,
    },
}

/// What a slot of the disk tier holds, and how much of the body that it names: for those who look at it and take nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// The record.
    pub record: DiskRecord,
    /// Chunks of the body that are there; none of a body that is in the record itself.
    pub chunks: u32,
    /// Chunks that the body has. Those who read are given the record only when all of them are there.
    pub chunks_total: u32,
    /// Bytes of the body that are there.
    pub bytes: u64,
}

/// Whether the disk serves. For the admin port: `{"state":"healthy"}`, or `"degraded"` with what is below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DiskState {
    /// It does.
    Healthy,
    /// It failed, was full or was too slow: nothing is read or written, but for probes. Memory goes on.
    Degraded {
        /// Since when, ms since the Unix epoch.
        since_ms: i64,
        /// What was seen.
        reason: String,
    },
}

/// How the disk does. For the admin port: the state's fields, and this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskReport {
    /// Whether it serves.
    #[serde(flatten)]
    pub state: DiskState,
    /// Blocks that the kernel refused to map since it was opened: [`DiskTier::blocks_unmapped`].
    pub blocks_unmapped: u64,
}

/// Why the disk gave nothing. Never a reason to fail a request: the origin has it all.
#[derive(Debug, Error)]
pub enum DiskError {
    /// It is degraded; nothing was tried.
    #[error("the disk tier is degraded")]
    Degraded,
    /// Longer than its deadline.
    #[error("the disk took longer than {deadline_ms} ms")]
    TooSlow {
        /// The deadline.
        deadline_ms: u64,
    },
    /// It failed.
    #[error("the disk tier failed at {path}: {reason}")]
    Failed {
        /// Where.
        path: PathBuf,
        /// What it said.
        reason: String,
    },
}

/// What the disk tier did with what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is in the queue.
    Queued,
    /// The queue is full, the body is too large, or the tier is degraded: it is not kept.
    Dropped,
}

/// A disk tier.
#[async_trait]
pub trait DiskTier: Send + Sync + Debug {
    /// May there be a record under `slot`? Cheap, from memory, without waiting; false is certain, true is not.
    fn may_hold(&self, slot: KeyHash) -> bool;

    /// The record under `slot`, if that can be said at once, without waiting for the disk; nothing says nothing.
    fn load_now(&self, _slot: KeyHash) -> Option<DiskRecord> {
        None
    }

    /// The record under `slot`.
    ///
    /// # Errors
    /// When the disk is degraded, slow or failing. A record that cannot be read back whole is `Ok(None)`.
    async fn load(&self, slot: KeyHash) -> Result<Option<DiskRecord>, DiskError>;

    /// The record under `slot`, and how much of its body is there, for those who only look: what leaves soon is not kept longer
    /// for them, and what has begun to leave is told of, too. Chunks are counted, not read.
    ///
    /// # Errors
    /// As [`Self::load`].
    async fn examine(&self, slot: KeyHash) -> Result<Option<Examined>, DiskError>;

    /// The bytes `within` chunk `index` of a body, all of it or slices of 32 KiB; `Ok(None)` when they are not there whole.
    ///
    /// # Errors
    /// When the disk is degraded, slow or failing.
    async fn load_chunk(
        &self,
        body_id: u128,
        index: u32,
        within: Range<u32>,
    ) -> Result<Option<Bytes>, DiskError>;

    /// The same, if that can be said at once, without waiting for the disk; nothing says nothing.
    fn load_chunk_now(&self, _body_id: u128, _index: u32, _within: Range<u32>) -> Option<Bytes> {
        None
    }

    /// Where the bytes `within` chunk `index` of a body may be sent from as they lie, if that can be said at once; nothing says
    /// nothing. Nothing is sent from there once something else is to be written there.
    fn chunk_lying(&self, _body_id: u128, _index: u32, _within: Range<u32>) -> Option<Part> {
        None
    }

    /// Queues a complete response: its chunks in order, each of [`DiskHead::chunk_bytes`] but the last. The record
    /// becomes visible after its chunks, in place of what the slot had.
    fn store(&self, slot: KeyHash, head: DiskHead, chunks: Vec<Bytes>) -> Accepted;

    /// Queues a record whose chunks, if it names any, are there already: a revalidated head, or rules.
    fn store_record(&self, slot: KeyHash, record: DiskRecord) -> Accepted;

    /// Takes away the record that `slot` holds, written or queued. Effective at once for [`Self::may_hold`] and
    /// [`Self::load`]; those who read its chunks find them until they are overwritten.
    ///
    /// May it be found again after a restart, because the tier cannot know that the removal outlives one? False is
    /// certain (there was no record, and none was on its way), true is not.
    fn remove(&self, slot: KeyHash) -> bool;

    /// Whether it serves.
    fn state(&self) -> DiskState;

    /// Bytes on disk, roughly.
    fn bytes(&self) -> u64;

    /// Blocks that the kernel refused to map since the disk was opened: what lies in them is copied before it is sent, which
    /// costs more and is no trouble otherwise.
    fn blocks_unmapped(&self) -> u64 {
        0
    }

    /// Waits, within the tier's own bound, until what was queued is written; then it is closed.
    async fn close(&self);
}
