//! The confined child of the tests.

use std::process::ExitCode;

use mcsp_media_art::ThumbnailJob;
use mcsp_media_probe::ProbeJob;
use mcsp_media_sandbox::{JobEntry, child_main};
use mcsp_media_transcode::EncodeJob;

fn main() -> ExitCode {
    child_main(&[
        JobEntry::of::<ProbeJob>(),
        JobEntry::of::<EncodeJob>(),
        JobEntry::of::<ThumbnailJob>(),
    ])
}
