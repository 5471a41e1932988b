//! The disk tier: complete responses on a local disk, by foyer's block engine.
//!
//! A body lies there as chunks, each a record of its own under the body's id; a slot's record (a head, or the rules by
//! which its responses vary) is written after its chunks were found to be there. So a head that is found, after
//! whatever crash, names chunks that were once written. Chunks leave with the disk's oldest block; a head whose chunks
//! have begun to leave is not given out. What is read while it lies among the oldest is written again, so that what is
//! asked for stays.
//!
//! Nothing here ever fails a request or makes it wait: reads and writes have deadlines, what is to be written waits in a
//! bounded queue, and what is dropped is counted. A disk that is slow, full, failing or gone is left alone but for
//! probes, less and less often, until it works; the cache goes on in memory.

mod blocks;
mod config;
mod deleted;
mod direct;
mod folder;
mod foyer_folder;
mod foyer_store;
mod head;
mod health;
mod in_place;
mod lineage;
mod mapped;
mod medium;
mod metrics;
mod places;
mod queue;
mod reading;
mod record;
mod spare;
mod tier;
mod upkeep;
mod writer;

pub use config::{DiskConfig, DiskConfigError};
pub use foyer_folder::FoyerFolder;
pub use health::DiskHealth;
pub use medium::{Loaded, Medium, MediumError, RecordStore, Trouble};
pub use record::RecordKey;
pub use tier::{Disk, DiskOpenError};
