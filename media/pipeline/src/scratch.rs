//! The worker's own disk: copies that save a download, within a bound.
//!
//! Nothing here is needed for correctness: what is missing is fetched again. A start empties the folder, as what a
//! crash or a loss of power left cannot be told from what is whole.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mcsp_api::ContentId;
use parking_lot::Mutex;
use thiserror::Error;

use crate::metrics;

const LOCK_FILE: &str = "lock";

/// Why there is no room.
#[derive(Debug, Error)]
pub enum ScratchError {
    /// Jobs that run now hold it all.
    #[error("scratch: {wanted} bytes wanted, {used} of {bytes_max} in use by running jobs")]
    Full {
        /// Bytes.
        wanted: u64,
        /// Bytes.
        used: u64,
        /// Bytes.
        bytes_max: u64,
    },
    /// It will never fit.
    #[error("scratch: {wanted} bytes wanted, which is more than scratch.bytes_max = {bytes_max}")]
    TooLarge {
        /// Bytes.
        wanted: u64,
        /// Bytes.
        bytes_max: u64,
    },
    /// Another worker has the folder.
    #[error("scratch: {} is in use by another process", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// The disk's.
    #[error("scratch: {0}")]
    Io(#[from] io::Error),
}

impl ScratchError {
    /// May the same call succeed later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::TooLarge { .. })
    }
}

/// A folder with a sub-folder for each item that is, or was lately, worked on. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Scratch {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    bytes_max: u64,
    state: Mutex<State>,
    /// The operating system lets go of it when the process ends, however it ends.
    _owner: File,
}

#[derive(Debug, Default)]
struct State {
    items: HashMap<ContentId, Entry>,
    used: u64,
    /// Counts leases and names of temporary files.
    ticks: u64,
}

#[derive(Debug)]
struct Entry {
    bytes: u64,
    users: u32,
    last_used: u64,
    discarded: bool,
    fetching: Arc<tokio::sync::Mutex<()>>,
}

impl Scratch {
    /// Takes the folder, creating it if there is none (mode 0700), and empties it.
    ///
    /// # Errors
    /// [`ScratchError::InUse`], or the disk's.
    pub fn open(root: &Path, bytes_max: u64) -> Result<Self, ScratchError> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        // Children run in another folder, and are told paths.
        let root = root.canonicalize()?;
        let owner = File::create(root.join(LOCK_FILE))?;
        owner.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => ScratchError::InUse { dir: root.clone() },
            fs::TryLockError::Error(error) => error.into(),
        })?;
        for entry in fs::read_dir(&root)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else if entry.file_name() != LOCK_FILE {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self {
            inner: Arc::new(Inner {
                root,
                bytes_max,
                state: Mutex::default(),
                _owner: owner,
            }),
        })
    }

    /// Bytes that are reserved or written.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.inner.state.lock().used
    }

    /// The item's folder, kept while the lease lives and, room permitting, afterwards.
    pub(crate) fn lease(&self, content_id: &ContentId) -> Result<Lease, ScratchError> {
        let dir = self.inner.root.join(content_id.as_str());
        let mut state = self.inner.state.lock();
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let now = state.tick();
        let entry = state
            .items
            .entry(content_id.clone())
            .or_insert_with(|| Entry {
                bytes: 0,
                users: 0,
                last_used: now,
                discarded: false,
                fetching: Arc::default(),
            });
        entry.users += 1;
        entry.last_used = now;
        let fetching = Arc::clone(&entry.fetching);
        drop(state);
        Ok(Lease {
            inner: Arc::clone(&self.inner),
            content_id: content_id.clone(),
            dir,
            fetching,
        })
    }
}

impl State {
    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    /// Forgets the item, and returns where its files were put to be removed.
    fn take_out(&mut self, root: &Path, content_id: &ContentId) -> io::Result<Option<PathBuf>> {
        let trash = root.join(format!("removed-{}", self.tick()));
        let Some(entry) = self.items.get(content_id) else {
            return Ok(None);
        };
        fs::rename(root.join(content_id.as_str()), &trash)?;
        self.used = self.used.saturating_sub(entry.bytes);
        self.items.remove(content_id);
        metrics::scratch_bytes(self.used);
        Ok(Some(trash))
    }

    fn idle_longest(&self) -> Option<ContentId> {
        let idle = self.items.iter().filter(|(_, entry)| entry.users == 0);
        let oldest = idle.min_by_key(|(_, entry)| entry.last_used);
        oldest.map(|(content_id, _)| content_id.clone())
    }
}

/// The use of one item's folder.
#[derive(Debug)]
pub(crate) struct Lease {
    inner: Arc<Inner>,
    content_id: ContentId,
    dir: PathBuf,
    fetching: Arc<tokio::sync::Mutex<()>>,
}

impl Lease {
    /// The item's folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Held while a copy is made, so that two stages do not fetch the same.
    pub(crate) fn fetching(&self) -> &tokio::sync::Mutex<()> {
        &self.fetching
    }

    /// A name in the item's folder that nothing has, which is removed with the returned value.
    pub(crate) fn temporary(&self) -> Temporary {
        let number = self.inner.state.lock().tick();
        Temporary(self.dir.join(format!("part-{number}")))
    }

    /// Sets `bytes` aside, at the expense of items that nobody works on. They are given back with the returned value
    /// unless they are [kept](Reservation::keep).
    pub(crate) fn reserve(&self, bytes: u64) -> Result<Reservation<'_>, ScratchError> {
        let bytes_max = self.inner.bytes_max;
        if bytes > bytes_max {
            return Err(ScratchError::TooLarge {
                wanted: bytes,
                bytes_max,
            });
        }
        let mut trash = Vec::new();
        let mut state = self.inner.state.lock();
        while state.used + bytes > bytes_max {
            let Some(victim) = state.idle_longest() else {
                return Err(ScratchError::Full {
                    wanted: bytes,
                    used: state.used,
                    bytes_max,
                });
            };
            trash.extend(state.take_out(&self.inner.root, &victim)?);
        }
        state.used += bytes;
        if let Some(entry) = state.items.get_mut(&self.content_id) {
            entry.bytes += bytes;
        }
        metrics::scratch_bytes(state.used);
        drop(state);
        for dir in trash {
            remove(&dir);
        }
        Ok(Reservation { lease: self, bytes })
    }

    /// Nobody will need the item's files again: they go with the last lease.
    pub(crate) fn discard(&self) {
        if let Some(entry) = self.inner.state.lock().items.get_mut(&self.content_id) {
            entry.discarded = true;
        }
    }

    fn adjust(&self, from: u64, to: u64) {
        let mut state = self.inner.state.lock();
        state.used = state.used.saturating_sub(from).saturating_add(to);
        if let Some(entry) = state.items.get_mut(&self.content_id) {
            entry.bytes = entry.bytes.saturating_sub(from).saturating_add(to);
        }
        metrics::scratch_bytes(state.used);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.inner.state.lock();
        let Some(entry) = state.items.get_mut(&self.content_id) else {
            return;
        };
        entry.users = entry.users.saturating_sub(1);
        if entry.users > 0 || !entry.discarded {
            return;
        }
        // What cannot be moved away stays counted, and is tried again when room is needed.
        let trash = state.take_out(&self.inner.root, &self.content_id);
        drop(state);
        if let Ok(Some(dir)) = trash {
            remove(&dir);
        }
    }
}

/// Bytes set aside.
#[derive(Debug)]
pub(crate) struct Reservation<'a> {
    lease: &'a Lease,
    bytes: u64,
}

impl Reservation<'_> {
    /// `bytes` of them were written and stay with the item; the others are given back.
    pub(crate) fn keep(mut self, bytes: u64) {
        self.lease.adjust(self.bytes, bytes);
        self.bytes = 0;
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.lease.adjust(self.bytes, 0);
    }
}

/// A file or folder that is removed with this value, if it is still there.
#[derive(Debug)]
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Removes a file or folder. What cannot be removed now goes with the item, or at the next start.
fn remove(path: &Path) {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "scratch file was not removed");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> ContentId {
        format!("c_ng_01k9x3m5y8q2v7r4t6w1z0a3b{n}")
            .parse()
            .unwrap()
    }

    fn write(lease: &Lease, bytes: u64) {
        let reservation = lease.reserve(bytes).unwrap();
        let content = vec![1; usize::try_from(bytes).unwrap()];
        fs::write(lease.dir().join("source"), content).unwrap();
        reservation.keep(bytes);
    }

    #[test]
    fn idle_items_make_room_oldest_first_and_running_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = Scratch::open(dir.path(), 100).unwrap();
        let first = scratch.lease(&id(1)).unwrap();
        write(&first, 40);
        write(&scratch.lease(&id(2)).unwrap(), 30);
        write(&scratch.lease(&id(3)).unwrap(), 30);
        let fourth = scratch.lease(&id(4)).unwrap();
        write(&fourth, 20);
        assert!(!dir.path().join(id(2).as_str()).exists());
        assert!(dir.path().join(id(3).as_str()).exists());
        assert_eq!(scratch.used_bytes(), 90);
        assert!(matches!(fourth.reserve(60), Err(ScratchError::Full { .. })));
        let too_large = fourth.reserve(101);
        assert!(matches!(too_large, Err(ScratchError::TooLarge { .. })));
        drop(first);
        assert!(fourth.reserve(60).is_ok());
        assert_eq!(scratch.used_bytes(), 20, "what was not kept is given back");
    }

    #[test]
    fn a_discarded_item_goes_with_its_last_lease_and_a_start_empties_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = Scratch::open(dir.path(), 100).unwrap();
        let one = scratch.lease(&id(1)).unwrap();
        let other = scratch.lease(&id(1)).unwrap();
        write(&one, 40);
        one.discard();
        drop(one);
        assert!(other.dir().join("source").exists());
        drop(other);
        assert!(!dir.path().join(id(1).as_str()).exists());
        assert_eq!(scratch.used_bytes(), 0);
        write(&scratch.lease(&id(2)).unwrap(), 40);
        let second = Scratch::open(dir.path(), 1);
        assert!(matches!(second, Err(ScratchError::InUse { .. })));
        drop(scratch);
        let again = Scratch::open(dir.path(), 100).unwrap();
        assert!(!dir.path().join(id(2).as_str()).exists());
        assert_eq!(again.used_bytes(), 0);
    }
}
