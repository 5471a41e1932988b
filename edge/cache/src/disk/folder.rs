//! The folder that the tier owns: who holds it, and whether its content can be read.
//!
//! `LOCK` is locked by the one process that uses the folder, `FORMAT` says how the content was written, `blocks/` is
//! the storage engine's. Content of another format is removed, not guessed at.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::medium::MediumError;

const LOCK: &str = "LOCK";
const FORMAT: &str = "FORMAT";
const BLOCKS: &str = "blocks";
const PROBE: &str = "PROBE";
/// Changes with the form of the content.
const VERSION: u32 = 2;

/// How the content is laid out; another layout is another format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes of all blocks and the log.
    pub(super) capacity_bytes: u64,
    /// Bytes of a block.
    pub(super) block_bytes: u64,
    /// Whose purge history goes with the content.
    pub(super) lineage: u128,
}

impl Layout {
    /// For a folder of `bytes`: at most about a thousand blocks, each a file, and at least sixteen.
    pub(super) fn new(bytes: u64, lineage: u128) -> Self {
        const RESERVED_BYTES: u64 = 1 << 20;
        const BLOCK_BYTES_MIN: u64 = 4 << 20;
        const BLOCK_BYTES_MAX: u64 = 1 << 30;
        let block_bytes = (bytes / 1024)
            .next_power_of_two()
            .clamp(BLOCK_BYTES_MIN, BLOCK_BYTES_MAX);
        Self {
            capacity_bytes: bytes - RESERVED_BYTES,
            block_bytes,
            lineage,
        }
    }

    fn text(&self) -> String {
        format!(
            "mcsp-edge-disk {VERSION} capacity_bytes={} block_bytes={} lineage={:032x}\n",
            self.capacity_bytes, self.block_bytes, self.lineage
        )
    }
}

/// A folder that this process holds.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    lock: File,
}

impl Folder {
    /// Makes the folder if need be, locks it, and removes content of another format. Blocks its thread.
    ///
    /// # Errors
    /// When it cannot be made or written, or when another process holds it.
    pub(super) fn hold(dir: &Path, layout: &Layout) -> Result<Self, MediumError> {
        let refused = |act: &'static str| move |error: io::Error| MediumError::io(dir, act, &error);
        fs::create_dir_all(dir).map_err(refused("make the folder"))?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join(LOCK))
            .map_err(refused("make its lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(MediumError::failed(dir, "another process uses the folder"));
            }
            Err(TryLockError::Error(error)) => {
                return Err(MediumError::io(dir, "lock it", &error));
            }
        }
        let folder = Self {
            dir: dir.to_owned(),
            lock,
        };
        folder.adopt(layout).map_err(refused("prepare it"))?;
        Ok(folder)
    }

    /// Where the blocks lie.
    pub(super) fn blocks(&self) -> PathBuf {
        self.dir.join(BLOCKS)
    }

    fn adopt(&self, layout: &Layout) -> io::Result<()> {
        let format = self.dir.join(FORMAT);
        let wanted = layout.text();
        let is_known = match fs::read_to_string(&format) {
            Ok(found) => found == wanted,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) if error.kind() == io::ErrorKind::InvalidData => false,
            Err(error) => return Err(error),
        };
        if !is_known {
            // The format is written after the content is gone, so that a crash between them only removes again.
            match fs::remove_dir_all(self.blocks()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            write_durably(&self.dir, &format, wanted.as_bytes())?;
        }
        fs::create_dir_all(self.blocks())
    }

    /// Looks whether the folder is still the one that is held, and returns the bytes of its blocks. Blocks its thread.
    ///
    /// # Errors
    /// When it is gone or another one.
    pub(super) fn check(&self) -> Result<u64, MediumError> {
        const SECTOR_BYTES: u64 = 512;
        let look = || {
            let held = self.lock.metadata()?;
            let found = fs::metadata(self.dir.join(LOCK))?;
            if (held.dev(), held.ino()) != (found.dev(), found.ino()) {
                return Err(io::Error::other("it is another folder now"));
            }
            fs::read_dir(self.blocks())?
                .map(|entry| Ok(entry?.metadata()?.blocks() * SECTOR_BYTES))
                .sum()
        };
        look().map_err(|error| MediumError::io(&self.dir, "find the folder", &error))
    }
}

/// Writes a file past the cache, reads it back and removes it. Blocks its thread.
///
/// # Errors
/// When any of it does not work.
pub(super) fn probe(dir: &Path) -> Result<(), MediumError> {
    const PROBE_BYTES: usize = 64 << 10;
    let path = dir.join(PROBE);
    let content = vec![0x5a; PROBE_BYTES];
    let attempt = || {
        fs::create_dir_all(dir)?;
        let mut file = File::create(&path)?;
        file.write_all(&content)?;
        file.sync_all()?;
        if fs::read(&path)? != content {
            return Err(io::Error::other("it reads other bytes than were written"));
        }
        Ok(())
    };
    let outcome = attempt().map_err(|error| MediumError::io(&path, "write a probe", &error));
    // What is left of a probe is overwritten by the next.
    let _ = fs::remove_file(&path);
    outcome
}

/// The file has its whole new content or its whole old one, whatever happens.
fn write_durably(dir: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let next = path.with_extension("next");
    let mut file = File::create(&next)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&next, path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_of_another_format_is_removed_and_of_the_same_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(64 << 20, 1);
        let folder = Folder::hold(dir.path(), &layout).unwrap();
        let block = folder.blocks().join("block");
        fs::write(&block, "content").unwrap();
        drop(folder);

        drop(Folder::hold(dir.path(), &layout).unwrap());
        assert!(block.exists());
        let other = Layout::new(64 << 20, 2);
        drop(Folder::hold(dir.path(), &other).unwrap());
        assert!(!block.exists());
    }

    #[test]
    fn two_cannot_hold_one_folder() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(64 << 20, 1);
        let held = Folder::hold(dir.path(), &layout).unwrap();
        let refused = Folder::hold(dir.path(), &layout).unwrap_err();
        assert!(
            refused
                .to_string()
                .ends_with("another process uses the folder")
        );
        drop(held);
        assert!(Folder::hold(dir.path(), &layout).is_ok());
    }

    #[test]
    fn another_folder_in_its_place_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("cache");
        let layout = Layout::new(64 << 20, 1);
        let held = Folder::hold(&dir, &layout).unwrap();
        assert!(held.check().is_ok());
        fs::rename(&dir, root.path().join("elsewhere")).unwrap();
        assert!(held.check().is_err());
        let other = Folder::hold(&dir, &layout).unwrap();
        assert!(held.check().is_err());
        assert!(other.check().is_ok());
    }

    #[test]
    fn blocks_are_few_and_fit() {
        for bytes in [64 << 20, 8 << 30, 1 << 40, 4 << 40] {
            let layout = Layout::new(bytes, 0);
            let blocks = layout.capacity_bytes / layout.block_bytes;
            assert!((15..=4096).contains(&blocks), "{blocks} for {bytes}");
        }
    }
}
