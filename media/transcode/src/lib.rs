//! The ladder, and the encoders behind it, in a confined child.
//!
//! A source is decoded twice, however many renditions it gets. The first pass decodes all of it, which is the full
//! validation of the file, and encodes the lowest rendition; the second one decodes once more and encodes every other
//! rendition from a split, each of which is told of as it is finished. Both passes see the same frames at the same times and force key frames on the same absolute
//! grid, so that segments of all renditions begin at the same frames.

mod audio;
mod decode;
mod encode_thread;
mod filter;
mod ladder;
mod pass;
mod picture_graph;
mod report;
mod run;
mod timing;
mod video;
mod x264;

pub use ladder::{AudioRung, Ladder, VideoRung};
pub use pass::{EncodeJob, FailedRung, PassInput, PassOutput, mezzanine_path, read_rendition};
pub use report::{DAMAGE_PERCENT_MAX, DecodeReport, StreamReport};
pub use run::{PassError, PassNews, PassResult, TranscodePolicy, Transcoder};
