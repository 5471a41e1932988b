//! The stages from upload to published, each an idempotent consumer of the event log.
//!
//! A stage reads one topic, does its work under names that do not depend on how often it is done, and writes its own
//! state and its outgoing event in the transaction that marks the incoming event as consumed. A stage that is cut short
//! at any point is simply run again.
//!
//! | stage | reads | makes | tells |
//! | --- | --- | --- | --- |
//! | ingest | `UploadInitiated` | a description of the file | `UploadCompleted` or `UploadBlocked` |
//! | lowest | `UploadCompleted` | the lowest renditions, of a decode that validates all of the file | `TranscodingCompleted` or `UploadBlocked` |
//! | rest | the lowest's `TranscodingCompleted` | every other rendition, of one further decode | `TranscodingCompleted`, one for each as it is finished |
//! | package | `TranscodingCompleted` | segments and playlists, then the manifests of all that is packaged | `Packaged` |
//! | art | the lowest's `TranscodingCompleted` | thumbnails | `ArtReady` |
//!
//! Files that a later stage will want stay in the worker's [`Scratch`]; they are only a shortcut, and are fetched from
//! object storage when they are not there. Workers of a region share one database.

mod config;
mod confined;
mod context;
mod encoder;
mod error;
mod item;
mod metrics;
mod names;
mod pipeline;
mod progress;
mod scratch;
mod stages;
mod store;
mod stores;

pub use config::{ParallelConfig, PipelineConfig, PipelineConfigError, RetryConfig};
pub use confined::ConfinedEncoder;
pub use encoder::{EncodeError, EncodeRequest, Encoded, Encoder, OnNews, Rungs};
pub use pipeline::{Pipeline, PipelineError, PipelineParts};
pub use scratch::{Scratch, ScratchError};
pub use stores::{ItemStore, Stores};

/// The producer's name in the events of this crate, and of its outbox in metrics.
pub const SERVICE: &str = "media";
