//! Why a stage did not do its work, and whether trying again may help.

use std::io;

use mcsp_db::DbError;
use mcsp_events::consumer::HandleError;
use mcsp_media_package::PackageError;
use mcsp_objects::ObjectError;
use thiserror::Error;

use crate::encoder::EncodeError;
use crate::scratch::ScratchError;

/// Why a stage did not do its work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum StageError {
    /// The creator's file cannot be used. No try will help, and the creator is told why.
    #[error("{code}: {reason}")]
    Refused {
        /// Machine-readable.
        code: String,
        /// What the creator reads.
        reason: String,
    },
    /// Something that the work needs is away; waited for.
    #[error("{0}")]
    Away(String),
    /// Another try may help.
    #[error("{0}")]
    Retry(String),
    /// The event itself cannot be acted on.
    #[error("{0}")]
    Poison(String),
}

impl StageError {
    /// The name of this kind in metrics.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Away(_) => "away",
            Self::Retry(_) => "failed",
            Self::Poison(_) => "poison",
        }
    }
}

impl From<StageError> for HandleError {
    fn from(error: StageError) -> Self {
        match error {
            StageError::Away(reason) => Self::Away(reason),
            StageError::Retry(reason) => Self::Retry(reason),
            StageError::Refused { .. } | StageError::Poison(_) => Self::Poison(error.to_string()),
        }
    }
}

impl From<HandleError> for StageError {
    fn from(error: HandleError) -> Self {
        match error {
            HandleError::Away(reason) => Self::Away(reason),
            HandleError::Retry(reason) => Self::Retry(reason),
            HandleError::Poison(reason) => Self::Poison(reason),
        }
    }
}

impl From<DbError> for StageError {
    fn from(error: DbError) -> Self {
        HandleError::from(error).into()
    }
}

impl From<sqlx::Error> for StageError {
    fn from(error: sqlx::Error) -> Self {
        DbError::from(error).into()
    }
}

impl From<ObjectError> for StageError {
    fn from(error: ObjectError) -> Self {
        if error.is_retryable() {
            Self::Away(error.to_string())
        } else {
            Self::Retry(error.to_string())
        }
    }
}

impl From<io::Error> for StageError {
    fn from(error: io::Error) -> Self {
        // A full disk may be emptied.
        if matches!(
            error.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ) {
            Self::Away(format!("scratch: {error}"))
        } else {
            Self::Retry(format!("scratch: {error}"))
        }
    }
}

impl From<tokio::task::JoinError> for StageError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Retry(error.to_string())
    }
}

impl From<ScratchError> for StageError {
    fn from(error: ScratchError) -> Self {
        match error {
            ScratchError::Full { .. } => Self::Away(error.to_string()),
            ScratchError::TooLarge { .. } => Self::Poison(error.to_string()),
            ScratchError::Io(error) => error.into(),
            ScratchError::InUse { .. } => Self::Retry(error.to_string()),
        }
    }
}

impl From<EncodeError> for StageError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Refused { code, reason } => Self::Refused { code, reason },
            EncodeError::Failed(reason) => Self::Retry(reason),
        }
    }
}

impl From<PackageError> for StageError {
    fn from(error: PackageError) -> Self {
        match error {
            PackageError::Io(error) => error.into(),
            other => Self::Retry(other.to_string()),
        }
    }
}
