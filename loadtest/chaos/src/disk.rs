//! A disk that is full.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

use crate::error::ChaosError;

/// The most that a ballast takes, bytes (64 GiB): a mistaken folder must not cost more.
pub const BALLAST_BYTES_MAX: u64 = 64 << 30;
/// What is asked for at once, bytes.
const STEP_BYTES: u64 = 1 << 30;
/// Smaller steps are not tried when a disk says that it is full already, bytes.
const STEP_BYTES_MIN: u64 = 64 << 10;

/// Space that is taken from a disk. The file has no name (`O_TMPFILE`), so that the kernel gives the space back however this
/// program ends: there is nothing to find, or to forget, after a crash.
#[derive(Debug)]
pub struct Ballast {
    file: Option<File>,
    folder: PathBuf,
    bytes: u64,
    free_bytes: u64,
}

impl Ballast {
    /// Takes space in `folder` until `free_bytes` are left for unprivileged users.
    ///
    /// # Errors
    /// When that takes more than [`BALLAST_BYTES_MAX`], and when the file system cannot allocate (`fallocate`).
    pub fn fill(folder: &Path, free_bytes: u64) -> Result<Self, ChaosError> {
        let mut ballast = Self::prepare(folder, free_bytes)?;
        ballast.top_up()?;
        Ok(ballast)
    }

    /// Whether [`Ballast::fill`] can be done; takes no more than 4 KiB, for a moment.
    ///
    /// # Errors
    /// As there.
    pub fn check(folder: &Path, free_bytes: u64) -> Result<(), ChaosError> {
        let ballast = Self::prepare(folder, free_bytes)?;
        ballast.wanted_bytes()?;
        if let Some(file) = &ballast.file {
            fallocate(file, FallocateFlags::empty(), 0, 4096).map_err(|error| {
                ChaosError::system(format!("allocate in {}", folder.display()), error)
            })?;
        }
        Ok(())
    }

    fn prepare(folder: &Path, free_bytes: u64) -> Result<Self, ChaosError> {
        let file =
            tempfile::tempfile_in(folder).map_err(|error| ChaosError::file(folder, error))?;
        Ok(Self {
            file: Some(file),
            folder: folder.to_owned(),
            bytes: 0,
            free_bytes,
        })
    }

    /// Takes what has come free since; 0 bytes once it is undone.
    ///
    /// # Errors
    /// As [`Ballast::fill`].
    pub fn top_up(&mut self) -> Result<u64, ChaosError> {
        let mut left = self.wanted_bytes()?;
        let Some(file) = &self.file else {
            return Ok(0);
        };
        let before = self.bytes;
        let mut step = STEP_BYTES;
        while left > 0 && step >= STEP_BYTES_MIN.min(left) {
            let part = left.min(step);
            match fallocate(file, FallocateFlags::empty(), self.bytes, part) {
                Ok(()) => {
                    self.bytes += part;
                    left -= part;
                }
                // Reserves and other writers: what is free is not all to be had.
                Err(Errno::NOSPC) => step = part / 2,
                Err(Errno::INTR) => {}
                Err(error) => {
                    let what = format!("allocate in {}", self.folder.display());
                    return Err(ChaosError::system(what, error));
                }
            }
        }
        Ok(self.bytes - before)
    }

    /// What it has taken, bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives the space back. Nothing happens the second time.
    pub fn undo(&mut self) {
        self.file = None;
        self.bytes = 0;
    }

    fn wanted_bytes(&self) -> Result<u64, ChaosError> {
        let disk = statvfs(&self.folder).map_err(|error| ChaosError::file(&self.folder, error))?;
        let available = disk.f_bavail.saturating_mul(disk.f_frsize);
        let wanted = available.saturating_sub(self.free_bytes);
        if wanted.saturating_add(self.bytes) > BALLAST_BYTES_MAX {
            return Err(ChaosError::unavailable(
                format!(
                    "fill {} until {} bytes are left",
                    self.folder.display(),
                    self.free_bytes
                ),
                format!(
                    "{wanted} bytes would be taken, expected at most {BALLAST_BYTES_MAX}; name a smaller disk"
                ),
            ));
        }
        Ok(wanted)
    }
}
