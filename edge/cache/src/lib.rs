//! The edge's cache of responses.
//!
//! An **entity** is a stored response: a head, and a body of which every byte is held, promised by a writer that is at
//! it, or a hole. Completeness is explicit: nothing looks like the end of a body but its end, a fill that dies leaves a
//! hole that its readers are told of, and whoever fetches the rest may go on there. An entity is readable by all from
//! the moment its head is known, each reader at its own pace, in any range; a body that outgrows the cache streams
//! through a window at the pace of its slowest reader.
//!
//! **Collapse.** [`engine::Cache::join`] makes one request lead a fetch and others wait for its head, a bounded number
//! for a bounded time.
//!
//! **Purges.** Each opens a new generation. What was asked for in an earlier one, and is reached by it, is neither
//! stored nor handed to anyone, so that it cannot bring back what was purged; readers of what a hard purge removed get
//! no further. The history of purges outlives a restart, and what the disk has is held against it when it is loaded. What
//! clients invalidate is remembered apart and within bounds of its own, so that no number of their requests makes the
//! cache forget, or distrust, anything but what clients can invalidate.
//!
//! **Memory.** Every byte is counted where it is allocated and given back where it is freed, be it the memory tier, a
//! fill or a slow reader that has it: [`engine::CacheConfig::memory_bytes`] is never exceeded. What does not fit passes
//! through.
//!
//! **Tiers.** Memory by foyer's S3-FIFO; a disk tier ([`disk`]) behind [`engine::DiskTier`]. Hits in memory take no lock
//! of the ledger, which orders all that changes.

mod account;
mod again;
mod ahead;
mod body;
mod cache;
mod claim;
mod config;
mod crowd;
pub mod disk;
mod disk_reading;
mod disk_tier;
mod entity;
mod filling;
mod flight;
mod head;
mod history;
mod index;
mod inspection;
mod joining;
mod keeping;
mod key;
mod ledger;
mod lending;
mod marks;
mod memories;
mod memory;
mod metrics;
mod past;
mod purge;
mod purge_file;
mod purge_log;
mod purging;
mod reader;
mod restore;
mod restoring;
mod sealed;
mod store;
mod surrogate;
mod unshared;
mod vary;

/// What the node serves from.
pub mod engine {
    pub use crate::cache::{Backing, Cache, CacheError, Lookup};
    pub use crate::claim::{Claim, Slice};
    pub use crate::config::{CacheConfig, CacheConfigError};
    pub use crate::crowd::{FailureKind, FetchFailure, InVain};
    pub use crate::disk_tier::{
        Accepted, DiskError, DiskHead, DiskLifetimes, DiskRecord, DiskReport, DiskState, DiskTier,
        Examined,
    };
    pub use crate::entity::{Entity, SeekPast};
    pub use crate::filling::{BodyPlan, FillError, Filling, NewResponse, Refused, Stored};
    pub use crate::flight::{FillTicket, Follow, Followed, Join, Lead};
    pub use crate::head::{Lifetimes, StoredHead};
    pub use crate::history::PurgeRecord;
    pub use crate::inspection::{DiskInspection, HeldIn, Inspection, OnDisk, VariantInspection};
    pub use crate::key::{Key, KeyHash, OwnedKey};
    pub use crate::memories::MissReason;
    pub use crate::past::{InvalidationRecord, LogRecord, PURGE_BYTES_MAX};
    pub use crate::purge::{Purge, PurgeReport, PurgeSelector};
    pub use crate::purge_file::PurgeFile;
    pub use crate::purge_log::{NotDurable, PurgeSnapshot, PurgeStore};
    pub use crate::reader::{ReadError, Reader};
    pub use crate::surrogate::{CACHE_TAG, SURROGATE_KEY, surrogate_keys};
    pub use crate::vary::{Selecting, Variant};
}
