//! Opens the folder after a clean stop or a crash.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use mcsp_runtime::{SharedClock, SharedEntropy};
use parking_lot::{Mutex, RwLock};

use super::disk::{self, failed};
use super::record::Record;
use super::{FileEngineOptions, Inner};
use crate::ObjectError;
use crate::name::record_path;

impl Inner {
    pub(super) fn open(
        root: PathBuf,
        options: FileEngineOptions,
        clock: SharedClock,
        entropy: SharedEntropy,
    ) -> Result<Self, ObjectError> {
        let owner = take_ownership(&root)?;
        let inner = Self {
            root,
            options,
            clock,
            entropy,
            keys: std::array::from_fn(|_| Mutex::new(())),
            folders: RwLock::new(()),
            _owner: owner,
        };
        inner
            .recover()
            .map_err(|error| failed("recover the store", &error))?;
        Ok(inner)
    }

    fn recover(&self) -> io::Result<()> {
        let mut leftovers = 0_u32;
        for entry in fs::read_dir(self.root.join("tmp"))? {
            let path = entry?.path();
            if path.is_dir() {
                fs::remove_dir_all(&path)?;
            } else {
                fs::remove_file(&path)?;
            }
            leftovers += 1;
        }
        for entry in fs::read_dir(self.root.join("multipart"))? {
            let dir = entry?.path();
            match self.is_orphan(&dir) {
                Ok(true) => {
                    self.discard_dir(&dir)?;
                    leftovers += 1;
                }
                Ok(false) => {}
                // Kept: what cannot be read may still be wanted.
                Err(error) => {
                    tracing::warn!(dir = %dir.display(), %error, "an upload cannot be read");
                }
            }
        }
        if leftovers > 0 {
            tracing::info!(
                leftovers,
                "removed what an unclean stop left in the object store"
            );
        }
        Ok(())
    }

    /// Is this the folder of an upload whose object is gone? One that is still open is kept, and one whose object was
    /// just published when the crash came is marked completed.
    fn is_orphan(&self, dir: &Path) -> io::Result<bool> {
        let Some(upload_id) = dir.file_name().and_then(|name| name.to_str()) else {
            return Ok(false);
        };
        let upload = Record::read(&File::open(dir.join("upload"))?)?;
        let object = record_path(&upload.key)
            .map_err(io::Error::other)
            .map(|path| self.root.join("buckets").join(&upload.bucket).join(path))?;
        let is_referenced = match File::open(object) {
            Ok(file) => Record::read(&file)?.is_of_upload(upload_id),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        let is_completed = dir.join("completed").exists();
        if is_referenced && !is_completed {
            File::create(dir.join("completed"))?;
            disk::sync_dir(dir)?;
        }
        Ok(is_completed && !is_referenced)
    }

    /// Makes a folder vanish at once, however many files it has.
    pub(super) fn discard_dir(&self, dir: &Path) -> io::Result<()> {
        let aside = self.temporary_path();
        fs::rename(dir, &aside)?;
        if let Some(parent) = dir.parent() {
            disk::sync_dir(parent)?;
        }
        // What cannot be removed now is removed at the next start.
        let _ = fs::remove_dir_all(&aside);
        Ok(())
    }
}

fn take_ownership(root: &Path) -> Result<File, ObjectError> {
    let prepare = || -> io::Result<File> {
        // Creators' originals are in it: nobody else on the machine may look.
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)?;
        for name in ["tmp", "buckets", "multipart"] {
            disk::create_dirs(root, &root.join(name))?;
        }
        let owner = File::create(root.join("lock"))?;
        disk::sync_dir(root)?;
        Ok(owner)
    };
    let owner = prepare().map_err(|error| failed("open the store", &error))?;
    match owner.try_lock() {
        Ok(()) => Ok(owner),
        Err(TryLockError::WouldBlock) => Err(ObjectError::Conflict(format!(
            "another process owns the object store {}",
            root.display()
        ))),
        Err(TryLockError::Error(error)) => Err(failed("lock the store", &error)),
    }
}
