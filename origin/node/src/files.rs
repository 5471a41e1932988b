//! Files of the node's own: written whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use crate::NodeError;

/// Makes a folder that only its owner may enter, unless it is there.
pub(crate) fn private_dir(dir: &Path) -> Result<(), NodeError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| NodeError::file(dir, e))
}

/// Writes or replaces a file; durable when this returns.
pub(crate) fn replace(path: &Path, mode: u32, text: &str) -> Result<(), NodeError> {
    let inner = || {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        // One process owns the folder, so its number keeps the name apart.
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    };
    inner().map_err(|e| NodeError::file(path, e))
}

/// Reads a file that only its owner may read; `None` when there is none.
pub(crate) fn read_secret(path: &Path) -> Result<Option<String>, NodeError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => Err(NodeError::Secrets {
            path: path.to_owned(),
            reason: "others may read it; expected mode 0600".to_owned(),
        }),
        Ok(_) => fs::read_to_string(path)
            .map(Some)
            .map_err(|e| NodeError::file(path, e)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(NodeError::file(path, error)),
    }
}
