//! Why the content service did not do what it was asked.

use mcsp_api::metadata::FieldError;
use mcsp_api::{Problem, ProblemKind};
use mcsp_db::{DbError, DbErrorKind};
use thiserror::Error;

/// Seconds after which a caller may try again when a part we stand on is away.
const RETRY_AFTER_S: u32 = 2;

/// Why a call failed.
#[derive(Debug, Error)]
pub enum ContentError {
    /// There is no such item, or the caller may not know of it.
    #[error("no such item")]
    NotFound,
    /// The item was the caller's own and is deleted.
    #[error("the item is deleted")]
    Gone,
    /// The caller sees the item and may not do this.
    #[error("the item is another's")]
    Forbidden,
    /// The item's state does not allow it; for people.
    #[error("{0}")]
    Conflict(String),
    /// A field cannot be used.
    #[error(transparent)]
    Invalid(#[from] FieldError),
    /// The act could not be audited, so it was not done.
    #[error("the audit log is not available, so nothing was done: {0}")]
    Audit(#[source] mcsp_audit::AuditError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// An event could not be put into a record: a mistake in the program.
    #[error("an event could not be written: {0}")]
    Event(#[from] mcsp_events::EventError),
    /// A row says what this build cannot read.
    #[error("the record of {content_id} has {column} {value:?}, which cannot be read")]
    Corrupt {
        /// The item.
        content_id: String,
        /// The column.
        column: &'static str,
        /// What it holds, clipped.
        value: String,
    },
}

impl From<sqlx::Error> for ContentError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

impl ContentError {
    /// May the same call succeed later? All writes of this service are idempotent.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            // A full disk may be emptied.
            Self::Db(error) => error.is_retryable() || error.kind() == DbErrorKind::Storage,
            Self::Audit(_) => true,
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
            Self::NotFound => Problem::new(ProblemKind::NotFound).detail("there is no such item"),
            Self::Gone => Problem::new(ProblemKind::Gone).detail("you deleted this item"),
            Self::Forbidden => {
                Problem::new(ProblemKind::Forbidden).detail("only the item's owner may do this")
            }
            Self::Conflict(detail) => Problem::new(ProblemKind::Conflict).detail(detail),
            Self::Invalid(error) => error.into(),
            error if error.is_retryable() => {
                tracing::warn!(%error, "content call failed for now");
                Problem::new(ProblemKind::Unavailable)
                    .detail("the content service cannot do this right now; try again")
                    .retry_after_s(RETRY_AFTER_S)
            }
            error => {
                tracing::error!(%error, "content call failed");
                Problem::new(ProblemKind::Internal)
            }
        }
    }
}

impl From<ContentError> for Problem {
    fn from(error: ContentError) -> Self {
        error.into_problem()
    }
}
