//! What redb's errors mean to callers.

use redb::Error;

use crate::EventError;

/// Tells damage apart from what another attempt, or a restart, may mend.
pub(super) fn storage(error: impl Into<Error>) -> EventError {
    let error = error.into();
    match error {
        Error::Corrupted(_)
        | Error::UpgradeRequired(_)
        | Error::TableTypeMismatch { .. }
        | Error::TableDoesNotExist(_)
        | Error::RepairAborted => EventError::Corrupt(error.to_string()),
        other => EventError::Unavailable(other.to_string()),
    }
}
