//! What can go wrong, what the person is told, and the exit status that follows.

use std::path::PathBuf;

use mcsp_api::Problem;
use serde_json::json;
use thiserror::Error;

/// Why a command did not do what it was asked.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// The command line or the configuration is wrong.
    #[error("{0}")]
    Usage(String),
    /// The file cannot be used.
    #[error("{0}")]
    File(String),
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Something of our own cannot be kept.
    #[error("{path}: {source}")]
    Keep {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no session at this server.
    #[error("not signed in to {0}; run `mcsp login`")]
    NotSignedIn(String),
    /// The server refused, and said why (RFC 9457).
    #[error("{}", describe(.0))]
    Problem(Box<Problem>),
    /// The server cannot be reached, or broke off.
    #[error("{0}")]
    Unreachable(String),
    /// The server's answer makes no sense.
    #[error("the server's answer cannot be used: {0}")]
    Answer(String),
    /// The item was refused, or will not be published.
    #[error("{0}")]
    Refused(String),
    /// Nothing moved for as long as we were told to wait.
    #[error("gave up: {0}")]
    GaveUp(String),
    /// The person pressed Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl CliError {
    /// Of sysexits, as far as it has a word for it; `--help` lists them.
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_) => 64,
            Self::File(_) => 65,
            Self::Read { .. } => 66,
            Self::NotSignedIn(_) => 77,
            Self::Problem(problem) => match problem.status {
                401 | 403 => 77,
                429 | 502..=504 => 69,
                _ => 1,
            },
            Self::Unreachable(_) | Self::GaveUp(_) => 69,
            Self::Interrupted => 130,
            Self::Keep { .. } | Self::Answer(_) | Self::Refused(_) => 1,
        }
    }

    /// May the same call succeed later?
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Problem(problem) => matches!(problem.status, 408 | 429 | 500 | 502..=504),
            _ => false,
        }
    }

    /// What the server asked us to wait, seconds.
    pub(crate) fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::Problem(problem) => problem.retry_after_s,
            _ => None,
        }
    }

    /// For programs: the problem as the server sent it, or our own words.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Problem(problem) => json!({ "error": problem }),
            other => json!({ "error": { "title": other.to_string() } }),
        }
    }
}

/// Title and detail, the field at fault, and the trace by which the operator finds it.
fn describe(problem: &Problem) -> String {
    let mut text = match &problem.detail {
        Some(detail) => format!("{}: {detail}", problem.title),
        None => problem.title.clone(),
    };
    if let Some(pointer) = &problem.pointer {
        text.push_str(&format!(" (field {pointer})"));
    }
    if let Some(seconds) = problem.retry_after_s {
        text.push_str(&format!("; try again in {seconds} s"));
    }
    if let Some(trace_id) = &problem.trace_id {
        text.push_str(&format!("\n  trace {trace_id}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use mcsp_api::ProblemKind;

    use super::*;

    #[test]
    fn a_problem_is_told_with_its_field_and_trace() {
        let problem = Problem::new(ProblemKind::InvalidRequest)
            .detail("the title is empty")
            .pointer("/metadata/title")
            .trace_id("abc");
        let error = CliError::Problem(Box::new(problem));
        assert_eq!(
            error.to_string(),
            "The request is not valid: the title is empty (field /metadata/title)\n  trace abc"
        );
        assert_eq!(error.exit_status(), 1);
        assert!(!error.is_retryable());
    }

    #[test]
    fn what_may_pass_is_told_from_what_will_not() {
        let of = |kind: ProblemKind| CliError::Problem(Box::new(kind.into()));
        assert_eq!(of(ProblemKind::Unavailable).exit_status(), 69);
        assert!(of(ProblemKind::Unavailable).is_retryable());
        assert_eq!(of(ProblemKind::Unauthenticated).exit_status(), 77);
        assert!(!of(ProblemKind::Forbidden).is_retryable());
        assert!(CliError::Unreachable(String::new()).is_retryable());
    }
}
