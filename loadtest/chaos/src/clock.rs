//! A clock that is off, for a process that runs under libfaketime (Debian package `libfaketime`).
//!
//! A clock cannot be set for one process from outside, and the machine's is not ours to set. So the process is started with
//! libfaketime and told where its offset is written; nothing else of it changes.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::error::ChaosError;
use crate::process::Process;

const LIBRARY: &str = "libfaketime";
const FILE: &str = "FAKETIME_TIMESTAMP_FILE";

/// Debian's libfaketime for programs with threads; none: it is not installed.
#[must_use]
pub fn faketime_library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?;
    folders
        .filter_map(Result::ok)
        .map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.is_file())
}

/// The file that a process's libfaketime reads its offset from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockFile {
    path: PathBuf,
}

impl ClockFile {
    /// What a process has to be started with so that `file` moves its clock at once, and its timers stay as they are.
    #[must_use]
    pub fn environment(library: &Path, file: &Path) -> [(&'static str, OsString); 4] {
        [
            ("LD_PRELOAD", library.into()),
            (FILE, file.into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }

    /// A file for a process that is yet to be started; its clock is right.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: PathBuf) -> Result<Self, ChaosError> {
        let file = Self { path };
        file.write(0)?;
        Ok(file)
    }

    /// The file of a running process, found by its environment. An offset that an earlier run has left is taken back.
    ///
    /// # Errors
    /// When the process does not run under libfaketime, or not so that its timers stay and changes are seen at once; the error
    /// says what to start it with.
    pub fn of(process: &Process) -> Result<Self, ChaosError> {
        let environment = process.environment()?;
        let value = |name: &str| {
            environment
                .iter()
                .find(|(key, _)| key == OsStr::new(name))
                .map(|(_, value)| value)
        };
        let is_on = |name: &str| value(name).is_some_and(|value| value == OsStr::new("1"));
        let keeps_timers = is_on("FAKETIME_DONT_FAKE_MONOTONIC") || is_on("DONT_FAKE_MONOTONIC");
        match value(FILE) {
            Some(path)
                if keeps_timers && is_on("FAKETIME_NO_CACHE") && process.maps(LIBRARY)? =>
            {
                let path = process.folder()?.join(path);
                Self::create(path)
            }
            _ => Err(ChaosError::unavailable(
                format!("the clock of process {}", process.id()),
                format!(
                    "it has to be started with LD_PRELOAD={} {FILE}=/some/file FAKETIME_NO_CACHE=1 \
                     FAKETIME_DONT_FAKE_MONOTONIC=1 (Debian package libfaketime)",
                    faketime_library()
                        .unwrap_or_else(
                            || "/usr/lib/ARCHITECTURE/faketime/libfaketimeMT.so.1".into()
                        )
                        .display()
                ),
            )),
        }
    }

    /// Moves the clock; below 0 is behind.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn skew(&self, by_s: i64) -> Result<Skewed, ChaosError> {
        self.write(by_s)?;
        Ok(Skewed {
            file: Some(self.clone()),
        })
    }

    /// Whole, or not at all: the process may read at any moment.
    fn write(&self, by_s: i64) -> Result<(), ChaosError> {
        let failed = |error| ChaosError::file(&self.path, error);
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let mut new =
            tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        writeln!(new, "{by_s:+}").map_err(failed)?;
        new.persist(&self.path)
            .map_err(|error| failed(error.error))?;
        Ok(())
    }
}

/// A clock that is off until this is undone or dropped.
#[derive(Debug)]
pub struct Skewed {
    file: Option<ClockFile>,
}

impl Skewed {
    /// Sets it right. Nothing happens once that was done.
    ///
    /// # Errors
    /// When the file cannot be written; it may be tried again.
    pub fn undo(&mut self) -> Result<(), ChaosError> {
        if let Some(file) = &self.file {
            file.write(0)?;
        }
        self.file = None;
        Ok(())
    }
}

impl Drop for Skewed {
    fn drop(&mut self) {
        let _ = self.undo();
    }
}
