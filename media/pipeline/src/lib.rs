//! The stages from upload to published, each an idempotent consumer of the event log.
//!
//! A stage reads one topic, does its work under object names that do not depend on how often it is done, and writes its
//! outgoing events in the transaction that marks the incoming event as consumed. A stage that is cut short at any point
//! is simply run again. What a stage leaves for the next one lies in object storage, under `work/` of the item, so that
//! any worker of the region can go on where another stopped; the worker's own database holds the outbox and what was
//! consumed, nothing else.
//!
//! | stage | reads | does | writes |
//! | --- | --- | --- | --- |
//! | `validate` | `media.upload.initiated` | probes the file | `work/probe.json`; completed or blocked |
//! | `transcode` | `media.upload.completed` | decodes all of it, encodes the lowest rung | `work/{id}.mp4`, `.json`; transcoded or blocked |
//! | `transcode-rest` | `media.transcoding.completed` (lowest) | one more decode for every other rung | the same; transcoded, last |
//! | `package` | `media.transcoding.completed` | cuts segments, composes manifests of all that is packaged | `{id}/…`, `manifest.*`; packaged |
//! | `art` | `media.transcoding.completed` (lowest) | thumbnails | `art/…`; art ready |

mod attempts;
mod config;
mod item;
mod metrics;
mod outgoing;
mod pipeline;
mod progress;
mod scratch;
mod stage;
mod stages;

pub use config::{ParallelConfig, PipelineConfig, ScratchConfig};
pub use item::{Bucket, Buckets};
pub use pipeline::{Pipeline, PipelineError, PipelineParts};
pub use scratch::ScratchError;

/// How events name their source, and metrics and logs this part.
pub const SERVICE: &str = "media";
