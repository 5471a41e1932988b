//! The child's side.

use std::io::{self, BufRead, Read, Write};
use std::process::ExitCode;

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use rustix::time::{ClockId, clock_gettime};

use crate::confine::confine;
use crate::job::{JobEntry, JobError, Reporter, write_line};
use crate::protocol::{ChildLine, LINE_BYTES_MAX, Request};

/// Reads one job from standard input, confines the process, runs the job. Call it first thing in `main`, before any
/// thread is started: what a thread started earlier may do is not confined.
#[must_use]
pub fn child_main(jobs: &[JobEntry]) -> ExitCode {
    let mut out = io::stdout().lock();
    let line = match serve(jobs, &mut out) {
        Ok(line) => line,
        Err(error) => ChildLine::Failed { error },
    };
    match write_line(&mut out, &line) {
        Ok(()) => ExitCode::SUCCESS,
        // The parent is gone; nobody to tell.
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(jobs: &[JobEntry], out: &mut dyn Write) -> Result<ChildLine, JobError> {
    let mut line = String::new();
    io::stdin()
        .lock()
        .take(LINE_BYTES_MAX)
        .read_line(&mut line)
        .map_err(JobError::failed)?;
    let request: Request = serde_json::from_str(&line).map_err(JobError::failed)?;
    die_with_parent(request.parent_pid)?;
    let entry = jobs
        .iter()
        .find(|entry| entry.name == request.job)
        .ok_or_else(|| JobError::failed(format!("no job {:?} in this binary", request.job)))?;
    confine(&request.confinement)?;
    let output = (entry.run)(request.input, &mut Reporter::new(out))?;
    Ok(ChildLine::Done {
        output,
        cpu_ms: cpu_ms(),
    })
}

fn die_with_parent(parent_pid: u32) -> Result<(), JobError> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(JobError::failed)?;
    // The parent may have died before the signal was asked for.
    let parent = getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if parent == Some(parent_pid) {
        Ok(())
    } else {
        Err(JobError::failed("the parent is gone"))
    }
}

/// Processor time of all threads so far, milliseconds.
fn cpu_ms() -> u64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    u64::try_from(spent.tv_sec * 1000 + spent.tv_nsec / 1_000_000).unwrap_or(0)
}
