//! Why a command did not do what it was asked, and the exit status that says so.

use std::path::PathBuf;

use mcsp_loadtest_chaos::ChaosError;
use mcsp_loadtest_measure::CompareError;
use mcsp_loadtest_plan::{MeasuredError, PlanError};
use mcsp_loadtest_report::{IncomparableError, RecordedError};
use mcsp_loadtest_scenario::{AllowError, Refused, ScenarioError};
use mcsp_loadtest_wire::NetworkError;
use thiserror::Error;

/// The command line is wrong (`EX_USAGE` of sysexits).
pub(crate) const EXIT_USAGE: u8 = 64;
/// A file that was given is not what it should be (`EX_DATAERR`).
const EXIT_DATA: u8 = 65;
/// What is to be loaded, or the coordinator, is not there (`EX_UNAVAILABLE`).
const EXIT_UNAVAILABLE: u8 = 69;
/// Something of the system failed (`EX_OSERR`).
const EXIT_SYSTEM: u8 = 71;
/// Somebody may not do this (`EX_NOPERM`).
const EXIT_REFUSED: u8 = 77;
/// Ended by the person (128 + SIGINT).
pub(crate) const EXIT_INTERRUPTED: u8 = 130;

/// Why a command did not do what it was asked.
#[derive(Debug, Error)]
pub(crate) enum LoadError {
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Allow(#[from] AllowError),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("{0}")]
    Unavailable(String),
    #[error("{0}")]
    Unauthorised(String),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Chaos(#[from] ChaosError),
    #[error("{}: {source}", path.display())]
    Recorded {
        path: PathBuf,
        source: RecordedError,
    },
    #[error("the run cannot be written: {0}")]
    Unwritten(#[from] RecordedError),
    #[error(transparent)]
    Incomparable(#[from] IncomparableError),
    #[error(transparent)]
    Compare(#[from] CompareError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Measured(#[from] MeasuredError),
    #[error("{}: {source}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{what}: {source}")]
    System {
        what: String,
        source: std::io::Error,
    },
    #[error("interrupted before anything was measured")]
    Interrupted,
}

impl LoadError {
    pub(crate) fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File {
            path: path.into(),
            source,
        }
    }

    pub(crate) fn system(what: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self::System {
            what: what.into(),
            source: source.into(),
        }
    }

    /// Whether the same may succeed another time without a change of anything that was given.
    pub(crate) fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::System { .. })
    }

    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Plan(_) => EXIT_USAGE,
            Self::Scenario(_)
            | Self::Allow(_)
            | Self::Recorded { .. }
            | Self::Incomparable(_)
            | Self::Compare(_)
            | Self::Measured(_)
            | Self::Network(_) => EXIT_DATA,
            Self::Unavailable(_) => EXIT_UNAVAILABLE,
            Self::Refused(_) | Self::Unauthorised(_) => EXIT_REFUSED,
            Self::Chaos(error) => match error {
                ChaosError::Refused(_) | ChaosError::Protected { .. } => EXIT_REFUSED,
                _ => EXIT_UNAVAILABLE,
            },
            Self::Unwritten(_) | Self::File { .. } | Self::System { .. } => EXIT_SYSTEM,
            Self::Interrupted => EXIT_INTERRUPTED,
        }
    }
}
