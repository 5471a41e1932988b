//! The edge's segment cache: a `pingora-cache` storage with explicit completeness and generation-ordered purges.
//!
//! An object is either **complete** (in the memory tier, never partial) or a **fill in flight** (readable by everybody
//! who waits for it from the moment its header is known). A fill that dies is an error to each of its readers and is
//! never stored. Each purge opens a new generation; a fill that was asked for in an earlier one is neither admitted
//! nor joined, so that it cannot bring back what was purged.
//!
//! Memory is bounded twice: complete objects by [`CacheConfig::memory_bytes`], bytes of fills by
//! [`CacheConfig::fill_bytes_max`].

mod account;
mod body;
mod cache;
mod claim;
mod config;
pub mod disk;
mod disk_tier;
mod entity;
mod filling;
mod flight;
mod head;
mod history;
mod index;
mod inspection;
mod key;
mod ledger;
mod legacy;
mod memories;
mod memory;
mod metrics;
mod purge;
mod purge_file;
mod purge_log;
mod reader;
mod restore;
mod store;
mod surrogate;
mod vary;

// Goes away with `legacy`.
pub use legacy::{
    BodyReader, CacheConfig, CacheConfigError, CacheError, EdgeCache, FillTicket, Inspection,
    Purge, PurgeReport, PurgeSelector, SURROGATE_KEY,
};

/// The engine; its names move to the crate's root when the old storage goes.
pub mod engine {
    pub use crate::cache::{Backing, Cache, CacheError, Lookup};
    pub use crate::claim::{Claim, Slice};
    pub use crate::config::{CacheConfig, CacheConfigError};
    pub use crate::disk_tier::{
        Accepted, DiskError, DiskHead, DiskLifetimes, DiskRecord, DiskState, DiskTier,
    };
    pub use crate::entity::Entity;
    pub use crate::filling::{BodyPlan, FillError, Filling, NewResponse, Refused, Stored};
    pub use crate::flight::{FillTicket, Follow, Followed, Join, Lead};
    pub use crate::head::{Lifetimes, StoredHead};
    pub use crate::history::PurgeRecord;
    pub use crate::inspection::{Inspection, VariantInspection};
    pub use crate::key::{Key, KeyHash, OwnedKey};
    pub use crate::memories::MissReason;
    pub use crate::purge::{Purge, PurgeReport, PurgeSelector};
    pub use crate::purge_file::PurgeFile;
    pub use crate::purge_log::{NotDurable, PurgeSnapshot, PurgeStore};
    pub use crate::reader::{ReadError, Reader};
    pub use crate::surrogate::{CACHE_TAG, SURROGATE_KEY, surrogate_keys};
    pub use crate::vary::{Selecting, Variant};
}
