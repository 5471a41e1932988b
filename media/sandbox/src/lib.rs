//! Runs jobs on hostile files in a confined child process.
//!
//! The parent re-executes its own binary; the child reads one job from standard input, gives up every right that the
//! job does not need (resource limits, Landlock, seccomp, no new privileges, an empty environment) *before* it touches
//! the input, and writes progress, what is finished early and the result as JSON lines on standard output. The parent bounds the child's
//! silence and the length of its lines, and believes nothing that it says without checking. The child dies with the
//! thread that supervises it.

mod child;
mod confine;
mod job;
mod parent;
mod protocol;

pub use child::child_main;
pub use job::{Job, JobEntry, JobError, Reporter};
pub use parent::{ChildError, Finished, Launcher, run};
pub use protocol::{ChildLimits, Confinement, News};

/// The hidden subcommand by which a binary becomes the child.
pub const CHILD_SUBCOMMAND: &str = "decode-child";
