//! What a file really is: demuxed, not believed.
//!
//! [`probe`] opens the file with FFmpeg, whose demuxers must be taken for exploitable: outside of tests it runs as
//! [`ProbeJob`] in the confined child. It reads headers only; that the rest of the file decodes is found out by the
//! first transcoding pass.

mod describe;
mod isobmff;
mod open;
mod riff;

use std::path::PathBuf;

pub use describe::{AudioStream, Hdr, Orientation, Probe, Ratio, VideoStream, probe};
use mcsp_media_sandbox::{Job, JobError, Reporter};
pub use open::{CONTAINERS, duration_is_exact, open_input};
use serde::{Deserialize, Serialize};

/// The codes of refusals, as creators' programs see them.
pub mod refusal {
    /// The file has no byte.
    pub const EMPTY: &str = "empty";
    /// No container that we know, whatever the file's name says.
    pub const NOT_MEDIA: &str = "not-media";
    /// A container without picture or sound that can be decoded.
    pub const NO_USABLE_STREAM: &str = "no-usable-stream";
    /// The end of the file did not arrive.
    pub const TRUNCATED: &str = "truncated";
    /// More bytes than are taken.
    pub const TOO_LARGE: &str = "too-large";
    /// More hours or pixels than are taken.
    pub const OUT_OF_LIMITS: &str = "out-of-limits";
    /// Too much of the picture or sound cannot be decoded.
    pub const DAMAGED: &str = "damaged";
}

/// What is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeLimits {
    /// A file with a picture, bytes.
    pub video_bytes_max: u64,
    /// A file of sound alone, bytes.
    pub audio_bytes_max: u64,
    /// Milliseconds.
    pub duration_ms_max: u64,
    /// The longer side of the picture, pixels.
    pub side_pixels_max: u32,
}

impl Default for ProbeLimits {
    fn default() -> Self {
        Self {
            video_bytes_max: 20_000_000_000,
            audio_bytes_max: 2_000_000_000,
            duration_ms_max: 12 * 60 * 60 * 1000,
            side_pixels_max: 8192,
        }
    }
}

/// What the probe is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProbeInput {
    /// The file.
    pub path: PathBuf,
    /// What is taken.
    pub limits: ProbeLimits,
}

/// [`probe`] in the confined child.
#[derive(Debug)]
pub struct ProbeJob;

impl Job for ProbeJob {
    const NAME: &'static str = "probe";
    type Input = ProbeInput;
    type Output = Probe;

    fn run(input: ProbeInput, _: &mut Reporter<'_>) -> Result<Probe, JobError> {
        probe(&input.path, &input.limits)
    }
}
