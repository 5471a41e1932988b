//! `mcsp-media`: the media worker. Takes what creators uploaded and makes of it what viewers play.
//!
//! It alone links FFmpeg, opens creators' files only in confined children, and holds no credentials but its own.

mod admin;
mod bench_ladder;
mod boot;
mod cli;
mod config;
mod credentials;
mod run;

use std::process::ExitCode;

use mcsp_media_art::ThumbnailJob;
use mcsp_media_probe::ProbeJob;
use mcsp_media_sandbox::{CHILD_SUBCOMMAND, JobEntry, child_main};
use mcsp_media_transcode::EncodeJob;

fn main() -> ExitCode {
    // Before anything else: the child must not have done a thing when it gives up its rights.
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == CHILD_SUBCOMMAND)
    {
        return child_main(&[
            JobEntry::of::<ProbeJob>(),
            JobEntry::of::<EncodeJob>(),
            JobEntry::of::<ThumbnailJob>(),
        ]);
    }
    // Two providers are linked, and rustls refuses to guess.
    mcsp_runtime::install_crypto_provider();
    cli::main()
}
