//! Why the auth service did not do what it was asked.

use mcsp_api::metadata::FieldError;
use mcsp_api::{Problem, ProblemKind, RegionCode};
use mcsp_db::{DbError, DbErrorKind};
use thiserror::Error;

use crate::config::ConfigFault;

/// Seconds after which a caller may try again when a part we stand on is away.
const RETRY_AFTER_S: u32 = 2;

/// Why a call failed.
#[derive(Debug, Error)]
pub enum AuthError {
    /// The service cannot start with this configuration.
    #[error(transparent)]
    Config(#[from] ConfigFault),
    /// A field cannot be used.
    #[error(transparent)]
    Invalid(#[from] FieldError),
    /// The address or the password is wrong; which one is not said.
    #[error("wrong e-mail or password")]
    BadCredentials,
    /// Too many wrong passwords.
    #[error("locked for {retry_after_s} s after too many wrong passwords")]
    LockedOut {
        /// When to come back.
        retry_after_s: u32,
    },
    /// No account with this address and password is here, and another region, where it may be, could not be asked.
    #[error("a region that may know the account cannot be reached")]
    HomeAway {
        /// When to come back.
        retry_after_s: u32,
    },
    /// The session is another region's: an edge should have brought the call there.
    #[error("a call for a session of region {0} was brought here")]
    NotHome(RegionCode),
    /// There is an account with this address.
    #[error("the e-mail address has an account already")]
    EmailTaken,
    /// The `Idempotency-Key` was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// There is no session, or it has ended.
    #[error("no session: {0}")]
    NoSession(&'static str),
    /// Too many passwords are waiting to be hashed.
    #[error("too many logins at once")]
    Busy,
    /// The audit log did not take the entry, so nothing was done.
    #[error("the audit log is not available, so nothing was done: {0}")]
    Audit(#[source] mcsp_audit::AuditError),
    /// An event cannot be written down, so nothing was done.
    #[error("an event could not be written: {0}")]
    Event(#[from] mcsp_events::EventError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// Keys were rotated so often that no more may be published.
    #[error("signing keys were rotated too often; the last ones have not expired yet")]
    RotatedTooOften,
    /// A row or a key says what this build cannot read, or the cryptographic library failed.
    #[error("{0}")]
    Internal(String),
}

impl From<sqlx::Error> for AuthError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

impl AuthError {
    /// May the same call succeed later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            // A full disk may be emptied.
            Self::Db(error) => error.is_retryable() || error.kind() == DbErrorKind::Storage,
            Self::Audit(_)
            | Self::Busy
            | Self::RotatedTooOften
            | Self::LockedOut { .. }
            | Self::HomeAway { .. }
            | Self::NotHome(_) => true,
            Self::Event(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// What the caller is told. Logs what he is not: this is where such errors are handled.
    #[must_use]
    pub fn into_problem(self) -> Problem {
        mcsp_rpc::traced(self.problem())
    }

    fn problem(self) -> Problem {
        match self {
            Self::Invalid(error) => error.into(),
            Self::BadCredentials => Problem::new(ProblemKind::Unauthenticated)
                .detail("the e-mail address or the password is wrong"),
            Self::LockedOut { retry_after_s } => Problem::new(ProblemKind::TooManyRequests)
                .detail("too many wrong passwords; the account is locked for a while")
                .retry_after_s(retry_after_s),
            Self::HomeAway { retry_after_s } => Problem::new(ProblemKind::Unavailable)
                .detail("the region that may know this account cannot be reached; try again")
                .retry_after_s(retry_after_s),
            Self::EmailTaken => Problem::new(ProblemKind::Conflict)
                .detail("there is an account with this e-mail address; sign in instead")
                .pointer("/email"),
            Self::KeyReused => Problem::new(ProblemKind::Conflict)
                .detail("this Idempotency-Key was used for another request; use a new one"),
            Self::NoSession(why) => Problem::new(ProblemKind::Unauthenticated).detail(why),
            error if error.is_retryable() => {
                tracing::warn!(%error, "auth call failed for now");
                Problem::new(ProblemKind::Unavailable)
                    .detail("signing in is not possible right now; try again")
                    .retry_after_s(RETRY_AFTER_S)
            }
            error => {
                tracing::error!(%error, "auth call failed");
                Problem::new(ProblemKind::Internal)
            }
        }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        error.into_problem()
    }
}
