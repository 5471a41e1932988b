//! Why a call of the relational engine failed.

use std::fmt;

use mcsp_runtime::{EngineUriError, FAULT_MARK};
use thiserror::Error;

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DbErrorKind {
    /// No connection in time, or the engine is away. Nothing was done.
    Unavailable,
    /// Another transaction was in the way. This one was rolled back.
    Conflict,
    /// The commit's outcome is not known: it may have taken effect. Whoever repeats it must be idempotent.
    CommitUnknown,
    /// A unique or primary key exists already.
    UniqueViolation,
    /// A foreign key points nowhere.
    ForeignKeyViolation,
    /// A `CHECK`, a `NOT NULL` or a trigger refused the row.
    CheckViolation,
    /// A write on a connection or file that may only be read.
    ReadOnly,
    /// A row was asked for and there is none.
    NotFound,
    /// The disk is full, or the file is damaged or cannot be opened.
    Storage,
    /// The schema in the database and the one in this build do not fit.
    Migration,
    /// The engine's URI cannot be used.
    Uri,
    /// The statement, a parameter or a column's type is wrong: a mistake in the program.
    Invalid,
}

impl fmt::Display for DbErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "relational engine is not available",
            Self::Conflict => "transaction was in conflict with another",
            Self::CommitUnknown => "commit may or may not have taken effect",
            Self::UniqueViolation => "unique key exists already",
            Self::ForeignKeyViolation => "foreign key points nowhere",
            Self::CheckViolation => "row refused by a check",
            Self::ReadOnly => "write refused on what may only be read",
            Self::NotFound => "no such row",
            Self::Storage => "database storage failed",
            Self::Migration => "database schema does not fit",
            Self::Uri => "database URI cannot be used",
            Self::Invalid => "statement cannot be used",
        })
    }
}

/// Why a call failed. Its text holds the engine's own message, so it has no further source.
#[derive(Debug, Clone, Error)]
#[error("{kind}: {message}")]
pub struct DbError {
    kind: DbErrorKind,
    message: String,
}

impl DbError {
    pub(crate) fn new(kind: DbErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(crate) fn injected(kind: DbErrorKind, operation: &str) -> Self {
        Self::new(kind, format!("{FAULT_MARK} at {operation}"))
    }

    /// What a failed COMMIT means: what a constraint refused is known not to be there, the rest is not known.
    pub(crate) fn of_commit(error: sqlx::Error) -> Self {
        let mut error = Self::from(error);
        if matches!(
            error.kind,
            DbErrorKind::Unavailable | DbErrorKind::Storage | DbErrorKind::Invalid
        ) {
            error.kind = DbErrorKind::CommitUnknown;
        }
        error
    }

    pub(crate) fn of_migration(
        component: &str,
        version: i64,
        name: &str,
        error: sqlx::Error,
    ) -> Self {
        let error = Self::from(error);
        Self::new(
            error.kind,
            format!(
                "migration {version} {name:?} of {component:?}: {}",
                error.message
            ),
        )
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> DbErrorKind {
        self.kind
    }

    /// May the whole transaction succeed if it is done again? After [`DbErrorKind::CommitUnknown`] only an idempotent
    /// one may be.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            DbErrorKind::Unavailable | DbErrorKind::Conflict | DbErrorKind::CommitUnknown
        )
    }

    /// Does a unique or primary key exist already?
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        self.kind == DbErrorKind::UniqueViolation
    }

    /// Did `faulty:` cause it?
    #[must_use]
    pub fn is_injected(&self) -> bool {
        self.message.starts_with(FAULT_MARK)
    }
}

impl From<EngineUriError> for DbError {
    fn from(error: EngineUriError) -> Self {
        Self::new(DbErrorKind::Uri, error.to_string())
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        let kind = match &error {
            E::RowNotFound => DbErrorKind::NotFound,
            E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::Io(_) => {
                DbErrorKind::Unavailable
            }
            E::Configuration(_) => DbErrorKind::Uri,
            E::Database(error) => kind_of(error.as_ref()),
            _ => DbErrorKind::Invalid,
        };
        Self::new(kind, error.to_string())
    }
}

fn kind_of(error: &dyn sqlx::error::DatabaseError) -> DbErrorKind {
    use sqlx::error::ErrorKind;
    match error.kind() {
        ErrorKind::UniqueViolation => DbErrorKind::UniqueViolation,
        ErrorKind::ForeignKeyViolation => DbErrorKind::ForeignKeyViolation,
        ErrorKind::NotNullViolation | ErrorKind::CheckViolation => DbErrorKind::CheckViolation,
        _ => error
            .code()
            .and_then(|code| code.parse::<u32>().ok())
            .map_or(DbErrorKind::Invalid, kind_of_sqlite_code),
    }
}

/// SQLite's result codes (<https://www.sqlite.org/rescode.html>); the low byte is the primary code.
fn kind_of_sqlite_code(code: u32) -> DbErrorKind {
    match code & 0xff {
        // BUSY, LOCKED.
        5 | 6 => DbErrorKind::Conflict,
        // READONLY.
        8 => DbErrorKind::ReadOnly,
        // IOERR, CORRUPT, FULL, CANTOPEN, NOTADB.
        10 | 11 | 13 | 14 | 26 => DbErrorKind::Storage,
        // CONSTRAINT, of a kind that sqlx has no name for: a trigger's RAISE.
        19 => DbErrorKind::CheckViolation,
        _ => DbErrorKind::Invalid,
    }
}
