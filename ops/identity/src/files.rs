//! Files that hold keys and certificates: written whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use mcsp_runtime::{Entropy, hex_lower};

use crate::IdentityError;

/// For keys: the owner alone may read.
pub(crate) const MODE_SECRET: u32 = 0o600;
/// For certificates.
pub(crate) const MODE_PUBLIC: u32 = 0o644;

pub(crate) fn read(path: &Path) -> Result<String, IdentityError> {
    fs::read_to_string(path).map_err(|e| IdentityError::file(path, e))
}

pub(crate) fn create_dir(dir: &Path) -> Result<(), IdentityError> {
    fs::create_dir_all(dir).map_err(|e| IdentityError::file(dir, e))
}

/// Writes or replaces `path`.
pub(crate) fn replace(
    path: &Path,
    mode: u32,
    text: &str,
    entropy: &dyn Entropy,
) -> Result<(), IdentityError> {
    let inner = || {
        let temporary = write_beside(path, mode, text, entropy)?;
        fs::rename(&temporary, path)?;
        sync_parent(path)
    };
    inner().map_err(|e| IdentityError::file(path, e))
}

/// Writes `path` unless it is there; false when another was first.
pub(crate) fn create(
    path: &Path,
    mode: u32,
    text: &str,
    entropy: &dyn Entropy,
) -> Result<bool, IdentityError> {
    let inner = || {
        let temporary = write_beside(path, mode, text, entropy)?;
        // A link, unlike a rename, never replaces: of two that begin at once, one wins and both see its file whole.
        let linked = fs::hard_link(&temporary, path);
        fs::remove_file(&temporary)?;
        match linked {
            Ok(()) => sync_parent(path).map(|()| true),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(e),
        }
    };
    inner().map_err(|e| IdentityError::file(path, e))
}

fn write_beside(path: &Path, mode: u32, text: &str, entropy: &dyn Entropy) -> io::Result<PathBuf> {
    let mut random = [0; 8];
    entropy.fill(&mut random);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", hex_lower(&random)));
    let temporary = path.with_file_name(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(temporary)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}
