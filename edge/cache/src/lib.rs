//! The edge's segment cache: a `pingora-cache` storage with explicit completeness and generation-ordered purges.
//!
//! An object is either **complete** (in the memory tier, never partial) or a **fill in flight** (readable by everybody
//! who waits for it from the moment its header is known). A fill that dies is an error to each of its readers and is
//! never stored. Each purge opens a new generation; a fill that was asked for in an earlier one is neither admitted
//! nor joined, so that it cannot bring back what was purged.
//!
//! Memory is bounded twice: complete objects by [`CacheConfig::memory_bytes`], bytes of fills by
//! [`CacheConfig::fill_bytes_max`].

mod body;
mod budget;
mod config;
mod fill;
mod ledger;
mod meta;
mod metrics;
mod object;
mod purge;
mod reader;
mod storage;
mod store;
mod tier;
mod writer;

pub use config::{CacheConfig, CacheConfigError};
pub use purge::{Purge, PurgeReport, PurgeSelector};
pub use reader::BodyReader;
pub use store::{CacheError, EdgeCache, FillTicket, Inspection, SURROGATE_KEY};
