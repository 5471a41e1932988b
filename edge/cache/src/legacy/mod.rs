//! The `pingora-cache` storage that the node serves from until the engine takes over. To be removed as a whole then.

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
