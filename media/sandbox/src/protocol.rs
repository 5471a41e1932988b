//! What parent and child say to each other: one JSON line in, JSON lines out.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::JobError;

/// The longest line that either side accepts, bytes.
pub(crate) const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// Hard limits of the kernel on the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildLimits {
    /// Address space, bytes.
    pub memory_bytes: u64,
    /// Processor time over all threads, seconds.
    pub cpu_s: u64,
    /// Any one file that it writes, bytes.
    pub file_bytes: u64,
    /// How far it stands back for other processes, 0 to 19 (`nice`).
    pub niceness: u8,
}

/// All that the child may reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Files that it may read.
    pub reads: Vec<PathBuf>,
    /// The folder under which it may create, write and read files.
    pub writes: Option<PathBuf>,
    /// The kernel's limits.
    pub limits: ChildLimits,
}

/// The one line that the child reads.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) job: String,
    pub(crate) parent_pid: u32,
    pub(crate) confinement: Confinement,
    pub(crate) input: Value,
}

/// What a running job says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// How far it is, 0 to 1000.
    At(u32),
    /// The part of its output with this name is whole, and is not written again. The child's word: to be checked.
    Made(String),
}

/// A line that the child writes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(crate) enum ChildLine {
    Progress { permille: u32 },
    Made { name: String },
    Done { output: Value, cpu_ms: u64 },
    Failed { error: JobError },
}
