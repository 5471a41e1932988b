//! A job as both sides see it.

use std::io::Write;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::protocol::ChildLine;

/// Why a job gave no output.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobError {
    /// The input cannot be used, and will not become better by trying again.
    #[error("{code}: {reason}")]
    Refused {
        /// Machine-readable, such as `not-media`.
        code: String,
        /// What the creator reads: what is wrong, where, what to do.
        reason: String,
    },
    /// The job could not do its work for a reason that is not the input's.
    #[error("job failed: {message}")]
    Failed {
        /// For operators.
        message: String,
    },
}

impl JobError {
    /// A refusal of the input.
    pub fn refused(code: &str, reason: impl Into<String>) -> Self {
        Self::Refused {
            code: code.into(),
            reason: reason.into(),
        }
    }

    /// A failure that is not the input's fault.
    pub fn failed(message: impl std::fmt::Display) -> Self {
        Self::Failed {
            message: message.to_string(),
        }
    }
}

/// Work that is done in the child.
pub trait Job {
    /// Its name on the wire.
    const NAME: &'static str;
    /// What the parent gives.
    type Input: Serialize + DeserializeOwned + Send + Sync;
    /// What the child gives back; small, as it travels in one line.
    type Output: Serialize + DeserializeOwned + Send;

    /// Does the work. Called in the child, confined.
    ///
    /// # Errors
    /// [`JobError::Refused`] when it is the input's fault, else [`JobError::Failed`].
    fn run(input: Self::Input, reporter: &mut Reporter<'_>) -> Result<Self::Output, JobError>;
}

/// Where a running job says how far it is. Saying it often is cheap and keeps the parent from taking the child for dead.
pub struct Reporter<'a> {
    out: Option<&'a mut dyn Write>,
    last_permille: Option<u32>,
    ticks_since_line: u32,
}

/// A line is written at least every so many ticks, moved or not: the parent's watchdog listens.
const TICKS_A_LINE: u32 = 50;

impl<'a> Reporter<'a> {
    /// A reporter that writes lines to `out`.
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self {
            out: Some(out),
            last_permille: None,
            ticks_since_line: 0,
        }
    }

    /// A reporter that nobody listens to; for running a job in the same process.
    #[must_use]
    pub fn silent() -> Self {
        Self {
            out: None,
            last_permille: None,
            ticks_since_line: 0,
        }
    }

    /// Says that a unit of work (a frame or so) is done and how far the job is, 0 to 1000.
    ///
    /// # Errors
    /// [`JobError::Failed`] when the parent has gone.
    pub fn tick(&mut self, permille: u32) -> Result<(), JobError> {
        let Some(out) = &mut self.out else {
            return Ok(());
        };
        let permille = permille.min(1000);
        self.ticks_since_line += 1;
        let moved = self
            .last_permille
            .is_none_or(|last| permille / 10 != last / 10);
        if !moved && self.ticks_since_line < TICKS_A_LINE {
            return Ok(());
        }
        self.ticks_since_line = 0;
        self.last_permille = Some(permille);
        write_line(out, &ChildLine::Progress { permille }).map_err(JobError::failed)
    }

    /// Says that a part of the output is whole, so that the parent can use it while the job goes on.
    ///
    /// # Errors
    /// [`JobError::Failed`] when the parent has gone.
    pub fn made(&mut self, name: &str) -> Result<(), JobError> {
        let Some(out) = &mut self.out else {
            return Ok(());
        };
        let name = name.to_owned();
        write_line(out, &ChildLine::Made { name }).map_err(JobError::failed)
    }
}

pub(crate) fn write_line(out: &mut dyn Write, line: &ChildLine) -> std::io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    out.write_all(&bytes)?;
    out.flush()
}

/// A job as the child finds it by name.
#[derive(Clone, Copy)]
pub struct JobEntry {
    pub(crate) name: &'static str,
    pub(crate) run: fn(Value, &mut Reporter<'_>) -> Result<Value, JobError>,
}

impl JobEntry {
    /// The entry of this job.
    #[must_use]
    pub fn of<J: Job>() -> Self {
        Self {
            name: J::NAME,
            run: |input, reporter| {
                let input = serde_json::from_value(input).map_err(JobError::failed)?;
                serde_json::to_value(J::run(input, reporter)?).map_err(JobError::failed)
            },
        }
    }
}
