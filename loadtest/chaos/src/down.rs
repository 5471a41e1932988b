//! A process that is ended, and what starts it again.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::process::Signal;

use crate::error::ChaosError;
use crate::process::Process;

/// What starts a node again: its program, with the environment and in the folder that it had.
#[derive(Debug, Clone)]
pub struct Launch {
    program: String,
    arguments: Vec<String>,
    folder: PathBuf,
    environment: Vec<(OsString, OsString)>,
    pid_file: PathBuf,
    /// The last process that was started; it is waited for once it has ended, so that none lies about as a zombie.
    child: Arc<Mutex<Option<Child>>>,
}

impl Launch {
    /// Notes how `process` runs; none: `start` is empty, nothing starts it again. The program must stay in the foreground, and
    /// its id is written into `pid_file`. What it prints is appended to `pid_file` with `.log` after its name.
    ///
    /// # Errors
    /// When its environment or folder cannot be read.
    pub fn like(
        process: &Process,
        start: &[String],
        pid_file: PathBuf,
    ) -> Result<Option<Self>, ChaosError> {
        let Some((program, arguments)) = start.split_first() else {
            return Ok(None);
        };
        Ok(Some(Self {
            program: program.clone(),
            arguments: arguments.to_vec(),
            folder: process.folder()?,
            environment: process.environment()?,
            pid_file,
            child: Arc::default(),
        }))
    }

    /// Starts it; it outlives this program.
    ///
    /// # Errors
    /// When it cannot be started, or its pid file not be written (then it is ended again).
    pub fn start(&self) -> Result<(), ChaosError> {
        let mut log_name = self.pid_file.clone().into_os_string();
        log_name.push(".log");
        let log_name = PathBuf::from(log_name);
        let log = OpenOptions::new().create(true).append(true).open(&log_name);
        let log = log.map_err(|error| ChaosError::file(&log_name, error))?;
        let errors = log
            .try_clone()
            .map_err(|error| ChaosError::file(&log_name, error))?;
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(|error| {
                ChaosError::system(format!("start {:?} again", self.program), error)
            })?;
        if let Err(error) = std::fs::write(&self.pid_file, format!("{}\n", child.id())) {
            // A node that nobody can name is worse than one that is down.
            let _ = child.kill();
            let _ = child.wait();
            return Err(ChaosError::file(&self.pid_file, error));
        }
        *self.child.lock() = Some(child);
        Ok(())
    }

    fn reap(&self) {
        if let Some(child) = self.child.lock().as_mut() {
            let _ = child.try_wait();
        }
    }
}

/// A process that was told to end, until it is started again.
#[derive(Debug)]
pub struct Down {
    process: Process,
    launch: Option<Launch>,
    waited_s: u64,
    is_undone: bool,
}

impl Down {
    /// Asks it to end: SIGTERM. `for_s` is how long it has, for the error of [`Down::undo`].
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn stop(process: &Process, launch: Option<Launch>, for_s: u64) -> Result<Self, ChaosError> {
        Self::signal(process, launch, for_s, Signal::TERM)
    }

    /// Ends it: SIGKILL.
    ///
    /// # Errors
    /// When it cannot be signalled.
    pub fn kill(process: &Process, launch: Option<Launch>, for_s: u64) -> Result<Self, ChaosError> {
        Self::signal(process, launch, for_s, Signal::KILL)
    }

    fn signal(
        process: &Process,
        launch: Option<Launch>,
        for_s: u64,
        signal: Signal,
    ) -> Result<Self, ChaosError> {
        process.signal(signal)?;
        Ok(Self {
            process: process.clone(),
            launch,
            waited_s: for_s,
            is_undone: false,
        })
    }

    /// Starts it again, if its node says how. Nothing happens the second time.
    ///
    /// # Errors
    /// When it has not ended (two of them must not run side by side), or cannot be started.
    pub fn undo(&mut self) -> Result<(), ChaosError> {
        if std::mem::replace(&mut self.is_undone, true) {
            return Ok(());
        }
        if self.process.is_running() {
            return Err(ChaosError::StillThere {
                pid: self.process.id(),
                after_s: self.waited_s,
            });
        }
        match &self.launch {
            None => Ok(()),
            Some(launch) => {
                launch.reap();
                launch.start()
            }
        }
    }
}

impl Drop for Down {
    fn drop(&mut self) {
        let _ = self.undo();
    }
}
