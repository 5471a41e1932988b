//! The edge's segment cache: a `pingora-cache` storage with explicit completeness and generation-ordered purges.
//!
//! An object is either **complete** (in the memory tier, never partial) or a **fill in flight** (readable by everybody
//! who waits for it from the moment its header is known). A fill that dies is an error to each of its readers and is
//! never stored. Each purge opens a new generation; a fill that was asked for in an earlier one is neither admitted
//! nor joined, so that it cannot bring back what was purged.
//!
//! Memory is bounded twice: complete objects by [`CacheConfig::memory_bytes`], bytes of fills by
//! [`CacheConfig::fill_bytes_max`].

pub mod disk;
mod disk_tier;
mod key;
mod legacy;

// Goes away with `legacy`.
pub use legacy::{
    BodyReader, CacheConfig, CacheConfigError, CacheError, EdgeCache, FillTicket, Inspection,
    Purge, PurgeReport, PurgeSelector, SURROGATE_KEY,
};

/// The engine; its names move to the crate's root when the old storage goes.
pub mod engine {
    pub use crate::disk_tier::{
        Accepted, DiskError, DiskHead, DiskLifetimes, DiskRecord, DiskState, DiskTier,
    };
    pub use crate::key::{Key, KeyHash, OwnedKey};
}
