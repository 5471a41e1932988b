//! Why the upload service did not do what it was asked.

use mcsp_api::metadata::FieldError;
use mcsp_api::{Problem, ProblemKind, Residency};
use mcsp_db::{DbError, DbErrorKind};
use mcsp_objects::ObjectError;
use thiserror::Error;

/// Seconds after which a caller may try again when a part we stand on is away.
const RETRY_AFTER_S: u32 = 2;
/// The most part numbers that a message names.
const PARTS_NAMED_MAX: usize = 10;

/// Why a call failed.
#[derive(Debug, Error)]
pub enum UploadError {
    /// There is no such session of the caller's.
    #[error("no such upload session")]
    NotFound,
    /// The caller's role may not upload.
    #[error("the role may not upload")]
    Forbidden,
    /// A field cannot be used.
    #[error(transparent)]
    Invalid(#[from] FieldError),
    /// The file is larger than its kind may be.
    #[error("{size_bytes} bytes are more than the {bytes_max} allowed")]
    TooLarge {
        /// What was asked for, bytes.
        size_bytes: u64,
        /// What is allowed, bytes.
        bytes_max: u64,
    },
    /// The creator has too many unfinished sessions.
    #[error("{0} unfinished sessions are the most one creator may have")]
    TooManySessions(u32),
    /// The session's state does not allow it; for people.
    #[error("{0}")]
    Conflict(String),
    /// Parts are missing or have the wrong size.
    #[error("{} parts are missing", .0.len())]
    Incomplete(Vec<u32>),
    /// The decision could not be audited, so there is none.
    #[error("the audit log is not available, so nothing was decided: {0}")]
    Audit(#[source] mcsp_audit::AuditError),
    /// No store, region or PoP may take this content now.
    #[error("nothing here can take {residency} content: {reason}")]
    NoHome {
        /// What was decided.
        residency: Residency,
        /// What is lacking.
        reason: String,
    },
    /// Object storage failed.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// An event could not be put into a record: a mistake in the program.
    #[error("an event could not be written: {0}")]
    Event(#[from] mcsp_events::EventError),
    /// A row, or an answer of another service, cannot be read.
    #[error("{what} cannot be read: {value:?}")]
    Corrupt {
        /// What it is.
        what: &'static str,
        /// What it says, clipped.
        value: String,
    },
    /// Another service refused, or is away; its problem.
    #[error("another service answered {}: {}", .0.status, .0.detail.as_deref().unwrap_or_default())]
    Dependency(Box<Problem>),
}

impl From<sqlx::Error> for UploadError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

impl From<tonic::Status> for UploadError {
    fn from(status: tonic::Status) -> Self {
        Self::Dependency(Box::new(mcsp_rpc::problem_from_status(&status)))
    }
}

impl UploadError {
    pub(crate) fn corrupt(what: &'static str, value: &str) -> Self {
        Self::Corrupt {
            what,
            value: value.chars().take(64).collect(),
        }
    }

    /// May the same call succeed later? All writes of this service are idempotent.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            // A full disk may be emptied.
            Self::Db(error) => error.is_retryable() || error.kind() == DbErrorKind::Storage,
            Self::Objects(error) => error.is_retryable(),
            Self::Dependency(problem) => problem.status >= 500,
            Self::Audit(_) | Self::NoHome { .. } => true,
            _ => false,
        }
    }

    /// What the caller is told, with the trace in which the operator finds the rest. Logs what the caller is not told:
    /// this is where such errors are handled.
    #[must_use]
    pub fn into_problem(self) -> Problem {
        mcsp_rpc::traced(self.problem())
    }

    fn problem(self) -> Problem {
        match self {
            Self::NotFound => Problem::new(ProblemKind::NotFound).detail("you have no such upload session"),
            Self::Forbidden => {
                Problem::new(ProblemKind::Forbidden).detail("your account may watch but not upload; register as a creator")
            }
            Self::Invalid(error) => error.into(),
            Self::TooLarge { bytes_max, .. } => Problem::new(ProblemKind::PayloadTooLarge)
                .detail(format!("a file of this kind has at most {bytes_max} bytes"))
                .pointer("/size_bytes"),
            Self::TooManySessions(max) => Problem::new(ProblemKind::TooManyRequests).detail(format!(
                "you have {max} unfinished uploads, which is the most; finish or cancel one first"
            )),
            Self::Conflict(detail) => Problem::new(ProblemKind::Conflict).detail(detail),
            Self::Incomplete(parts) => Problem::new(ProblemKind::Conflict).detail(missing_text(&parts)),
            // What the other service says to our caller is already a problem; a fault of its own is not passed on.
            Self::Dependency(problem) if problem.status < 500 => *problem,
            error if error.is_retryable() => {
                tracing::warn!(%error, "upload call failed for now");
                Problem::new(ProblemKind::Unavailable)
                    .detail("the upload service cannot do this right now; nothing is lost, try again")
                    .retry_after_s(RETRY_AFTER_S)
            }
            error => {
                tracing::error!(%error, "upload call failed");
                Problem::new(ProblemKind::Internal)
            }
        }
    }
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        error.into_problem()
    }
}

fn missing_text(parts: &[u32]) -> String {
    let named: Vec<String> = parts
        .iter()
        .take(PARTS_NAMED_MAX)
        .map(u32::to_string)
        .collect();
    let more = parts.len().saturating_sub(PARTS_NAMED_MAX);
    let tail = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!(
        "the file is not whole yet: send the missing parts, {}{tail}",
        named.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_few_parts() {
        assert_eq!(
            missing_text(&[3, 7]),
            "the file is not whole yet: send the missing parts, 3, 7"
        );
        let many: Vec<u32> = (1..=12).collect();
        assert!(missing_text(&many).ends_with("9, 10 and 2 more"));
    }

    #[test]
    fn another_services_own_fault_is_not_passed_on() {
        let inner = Problem::new(ProblemKind::Internal).detail("secret");
        let outer = UploadError::Dependency(Box::new(inner)).into_problem();
        assert_eq!(
            (outer.status, outer.retry_after_s),
            (503, Some(RETRY_AFTER_S))
        );
        assert!(!outer.detail.unwrap_or_default().contains("secret"));
    }
}
