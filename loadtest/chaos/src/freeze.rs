//! A process that stands still.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::error::ChaosError;
use crate::process::Process;

/// Waits for a line, which says that all is well, or for the end of its input, which says that the tool is dead.
const WATCHDOG: &str = "trap '' HUP INT TERM; if read -r _; then exit 0; fi; kill -CONT \"$1\"";

/// A process that stands still (SIGSTOP) until this is undone or dropped, or this program ends in whatever way: a watchdog holds
/// the other end of a pipe, and thaws when it closes.
#[derive(Debug)]
pub struct Frozen {
    process: Process,
    watchdog: Option<Child>,
}

impl Frozen {
    /// Freezes a process.
    ///
    /// # Errors
    /// When it is gone, or belongs to somebody else, or no watchdog (`sh`) can be started.
    pub fn freeze(process: &Process) -> Result<Self, ChaosError> {
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "sh", &process.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own: the terminal's Ctrl-C is not for it.
            .process_group(0)
            .spawn()
            .map_err(|error| ChaosError::system("sh, which thaws should this tool die", error))?;
        let mut frozen = Self {
            process: process.clone(),
            watchdog: Some(watchdog),
        };
        match process.signal(Signal::STOP) {
            Ok(()) => Ok(frozen),
            Err(error) => {
                frozen.dismiss();
                Err(error)
            }
        }
    }

    /// Lets it go on. Nothing happens the second time.
    ///
    /// # Errors
    /// When the process cannot be signalled; one that is gone is no error.
    pub fn undo(&mut self) -> Result<(), ChaosError> {
        if self.watchdog.is_none() {
            return Ok(());
        }
        let thawed = match self.process.signal(Signal::CONT) {
            Err(_) if !self.process.is_running() => Ok(()),
            other => other,
        };
        self.dismiss();
        thawed
    }

    /// The watchdog goes without a signal.
    fn dismiss(&mut self) {
        if let Some(mut watchdog) = self.watchdog.take() {
            if let Some(mut pipe) = watchdog.stdin.take() {
                // One that is gone has nothing to be told.
                let _ = pipe.write_all(b"done\n");
            }
            let _ = watchdog.wait();
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // Nobody is left to be told; who wants to know calls `undo`.
        let _ = self.undo();
    }
}
