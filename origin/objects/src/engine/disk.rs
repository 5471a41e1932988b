//! Durable steps on the file system: what these functions did survives a loss of power.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::ObjectError;

/// Makes a folder's entries durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Creates `dir` and what is missing above it, down from `root`, which must exist. Each new entry is durable when this
/// returns, which holds only if no other thread creates or removes folders meanwhile.
pub(crate) fn create_dirs(root: &Path, dir: &Path) -> io::Result<()> {
    let below = dir
        .strip_prefix(root)
        .map_err(|_| io::Error::other("a folder outside the store"))?;
    let mut current = PathBuf::from(root);
    for step in below.components() {
        let next = current.join(step);
        match fs::create_dir(&next) {
            Ok(()) => sync_dir(&current)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        current = next;
    }
    Ok(())
}

/// Removes `dir` and the folders above it, up to but without `root`, while they are empty.
pub(crate) fn remove_empty_dirs(root: &Path, dir: &Path) {
    let mut current = dir;
    while current != root && current.starts_with(root) {
        // Not empty, or in use: there is nothing to tidy.
        if fs::remove_dir(current).is_err() {
            return;
        }
        let Some(parent) = current.parent() else {
            return;
        };
        current = parent;
    }
}

/// Is there nothing in the folder?
pub(crate) fn is_empty_dir(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

/// Says what could not be done. A full disk, a quota and an input/output error may pass; a name that the file system
/// does not take will not.
pub(crate) fn failed(what: &'static str, error: &io::Error) -> ObjectError {
    match error.kind() {
        io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => {
            ObjectError::Invalid(format!("{what}: {error}"))
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ObjectError::Unavailable(format!("{what}: the disk is full"))
        }
        _ => ObjectError::Unavailable(format!("{what}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_may_pass_and_a_bad_name_will_not() {
        let full = failed("write", &io::Error::from(io::ErrorKind::StorageFull));
        assert!(
            full.is_retryable() && full.to_string().contains("disk is full"),
            "{full}"
        );
        assert!(!failed("open", &io::Error::from(io::ErrorKind::InvalidFilename)).is_retryable());
    }

    #[test]
    fn tidying_stops_at_what_is_in_use() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path();
        create_dirs(root, &root.join("a/b/c")).expect("folders");
        fs::write(root.join("a/kept"), b"x").expect("a file");
        remove_empty_dirs(root, &root.join("a/b/c"));
        assert!(!root.join("a/b").exists());
        assert!(root.join("a/kept").exists());
    }
}
