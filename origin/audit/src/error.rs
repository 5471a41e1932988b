//! Why a call of the audit log failed.

use mcsp_db::DbError;
use thiserror::Error;

/// Why a call failed.
#[derive(Debug, Error)]
pub enum AuditError {
    /// The database failed. The entry may have been written nevertheless; the act must not be done.
    #[error("audit log: {0}")]
    Store(#[from] DbError),
    /// A field of the entry cannot be used.
    #[error("audit entry refused: {field}: {reason}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What was expected.
        reason: String,
    },
    /// There is no such intent.
    #[error("audit log has no intent {id:?}")]
    UnknownIntent {
        /// The id asked for.
        id: String,
    },
    /// The intent was resolved the other way before.
    #[error("audit intent {id:?} was resolved before, by entry {sequence}")]
    AlreadyResolved {
        /// The intent's id.
        id: String,
        /// The entry that resolved it.
        sequence: i64,
    },
    /// An entry cannot be read: its row was altered.
    #[error("audit entry {sequence} is damaged: {reason}")]
    Damaged {
        /// Its sequence number.
        sequence: i64,
        /// What is wrong with it.
        reason: String,
    },
}

impl AuditError {
    /// May the same call succeed later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_retryable())
    }
}

impl From<sqlx::Error> for AuditError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}
