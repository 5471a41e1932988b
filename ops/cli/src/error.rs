//! What can go wrong, and the exit status that tells it.

use std::path::PathBuf;

use mcsp_api::Problem;
use thiserror::Error;

/// The command line is wrong (`EX_USAGE` of sysexits).
pub(crate) const EXIT_USAGE: u8 = 64;
/// The server cannot be reached (`EX_UNAVAILABLE`).
const EXIT_UNAVAILABLE: u8 = 69;
/// Sign in first (`EX_NOPERM`).
const EXIT_NO_PERMISSION: u8 = 77;
/// Anything else.
const EXIT_FAILURE: u8 = 1;

#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// Something that was said cannot be used.
    #[error("{0}")]
    Usage(String),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    /// There is no session, or it has ended.
    #[error("sign in first: mcsp login ADDRESS")]
    NotSignedIn,
    /// The server cannot be reached.
    #[error("{server} cannot be reached: {reason}")]
    Unreachable { server: String, reason: String },
    /// The server said no, and why.
    #[error("{}", told(.0))]
    Refused(Box<Problem>),
    /// The server's answer makes no sense.
    #[error("the server's answer to {what} cannot be used: {reason}")]
    BadAnswer { what: String, reason: String },
    /// The upload stopped moving.
    #[error(
        "the upload has not moved for {patience_s} s ({last}); run the same command again to go on where it is"
    )]
    Stalled { patience_s: u64, last: String },
    /// The item will never be playable.
    #[error("{content_id} {state}: {reason}")]
    NotPlayable {
        content_id: String,
        state: &'static str,
        reason: String,
    },
}

/// A problem document as one paragraph.
fn told(problem: &Problem) -> String {
    let mut text = problem
        .detail
        .clone()
        .unwrap_or_else(|| problem.title.clone());
    if let Some(pointer) = &problem.pointer {
        text.push_str(&format!(" (at {pointer})"));
    }
    if let Some(seconds) = problem.retry_after_s {
        text.push_str(&format!("; try again in {seconds} s"));
    }
    if let Some(trace) = &problem.trace_id {
        text.push_str(&format!(" [trace {trace}]"));
    }
    text
}

impl CliError {
    /// May the same request succeed if it is sent again?
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused(problem) => matches!(problem.status, 408 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    /// The HTTP status that the server refused with.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(problem) => Some(problem.status),
            _ => None,
        }
    }

    /// What the process ends with.
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_) => EXIT_USAGE,
            Self::NotSignedIn => EXIT_NO_PERMISSION,
            Self::Unreachable { .. } => EXIT_UNAVAILABLE,
            Self::Refused(problem) if problem.status == 401 => EXIT_NO_PERMISSION,
            Self::Refused(problem) if problem.status == 503 => EXIT_UNAVAILABLE,
            _ => EXIT_FAILURE,
        }
    }
}
