//! Where files lie while they are worked on: originals, shared by the stages of one item, and work folders.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mcsp_api::ContentId;
use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;
use thiserror::Error;

use crate::config::ScratchConfig;
use crate::item::Item;
use crate::stage::StageError;

/// Why the scratch folder cannot be used.
#[derive(Debug, Error)]
pub enum ScratchError {
    /// Reading or writing failed.
    #[error("scratch folder {path}: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process works in it.
    #[error("scratch folder {0} is another process's")]
    InUse(PathBuf),
}

/// The scratch folder of one process.
#[derive(Debug)]
pub(crate) struct Scratch {
    dir: PathBuf,
    bytes_max: u64,
    sources: Mutex<Sources>,
    _lock: File,
}

#[derive(Debug, Default)]
struct Sources {
    by_item: HashMap<ContentId, Source>,
    uses: u64,
}

#[derive(Debug)]
struct Source {
    bytes: u64,
    users: u32,
    last_use: u64,
    unwanted: bool,
    /// Held while the original is fetched, so that one stage fetches and the others wait for it.
    fetch: Arc<tokio::sync::Mutex<bool>>,
}

impl Scratch {
    /// Opens and empties the folder.
    pub(crate) fn open(config: &ScratchConfig) -> Result<Self, ScratchError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| ScratchError::Io { path, source }
        };
        let dir = &config.dir;
        fs::create_dir_all(dir).map_err(at(dir))?;
        let lock_path = dir.join("lock");
        let lock = File::create(&lock_path).map_err(at(&lock_path))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| ScratchError::InUse(dir.clone()))?;
        for entry in fs::read_dir(dir).map_err(at(dir))? {
            let path = entry.map_err(at(dir))?.path();
            if path == lock_path {
                continue;
            }
            let removed = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            removed.map_err(at(&path))?;
        }
        // Children see absolute paths.
        let dir = dir.canonicalize().map_err(at(dir))?;
        Ok(Self {
            dir,
            bytes_max: config.bytes_max,
            sources: Mutex::default(),
            _lock: lock,
        })
    }

    /// An empty folder that vanishes when it is dropped.
    pub(crate) fn work_dir(&self) -> Result<TempDir, StageError> {
        Ok(tempfile::Builder::new()
            .prefix("work-")
            .tempdir_in(&self.dir)?)
    }

    /// The item's original as a file. It stays for the item's next stages until room is needed or it is unwanted.
    pub(crate) async fn source(self: &Arc<Self>, item: &Item) -> Result<SourceLease, StageError> {
        let meta = item.head_source().await?;
        let lease = self.reserve(&item.content_id, meta.size_bytes)?;
        let mut is_here = lease.fetch.lock().await;
        if !*is_here {
            item.download(mcsp_api::media_path::private::SOURCE, &lease.path)
                .await?;
            *is_here = true;
        }
        drop(is_here);
        Ok(lease)
    }

    /// The item's original will not be needed again.
    pub(crate) fn forget(&self, content_id: &ContentId) {
        let mut sources = self.sources.lock();
        if let Some(source) = sources.by_item.get_mut(content_id) {
            source.unwanted = true;
            if source.users == 0 {
                sources.by_item.remove(content_id);
                self.remove_file(content_id);
            }
        }
    }

    fn reserve(
        self: &Arc<Self>,
        content_id: &ContentId,
        bytes: u64,
    ) -> Result<SourceLease, StageError> {
        if bytes > self.bytes_max {
            return Err(StageError::Retry(format!(
                "{bytes} bytes do not fit into scratch.bytes_max"
            )));
        }
        let mut sources = self.sources.lock();
        sources.uses += 1;
        let now = sources.uses;
        if !sources.by_item.contains_key(content_id) {
            self.make_room(&mut sources, bytes)?;
        }
        let source = sources
            .by_item
            .entry(content_id.clone())
            .or_insert_with(|| Source {
                bytes,
                users: 0,
                last_use: now,
                unwanted: false,
                fetch: Arc::default(),
            });
        source.users += 1;
        source.last_use = now;
        source.unwanted = false;
        Ok(SourceLease {
            path: self.source_path(content_id),
            fetch: Arc::clone(&source.fetch),
            content_id: content_id.clone(),
            scratch: Arc::clone(self),
        })
    }

    /// Drops originals that nobody uses, the longest unused first.
    fn make_room(&self, sources: &mut Sources, bytes: u64) -> Result<(), StageError> {
        loop {
            let held: u64 = sources.by_item.values().map(|source| source.bytes).sum();
            if held + bytes <= self.bytes_max {
                return Ok(());
            }
            let idle = sources
                .by_item
                .iter()
                .filter(|(_, source)| source.users == 0);
            let Some(oldest) = idle
                .min_by_key(|(_, source)| source.last_use)
                .map(|(id, _)| id.clone())
            else {
                return Err(StageError::Away(
                    "scratch is full of originals that are being worked on".into(),
                ));
            };
            sources.by_item.remove(&oldest);
            self.remove_file(&oldest);
        }
    }

    fn source_path(&self, content_id: &ContentId) -> PathBuf {
        self.dir.join(format!("source-{content_id}"))
    }

    fn remove_file(&self, content_id: &ContentId) {
        let path = self.source_path(content_id);
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "an original stays in scratch");
        }
    }
}

/// An original that stays as long as this is held.
#[derive(Debug)]
pub(crate) struct SourceLease {
    pub(crate) path: PathBuf,
    fetch: Arc<tokio::sync::Mutex<bool>>,
    content_id: ContentId,
    scratch: Arc<Scratch>,
}

impl Drop for SourceLease {
    fn drop(&mut self) {
        let mut sources = self.scratch.sources.lock();
        let Some(source) = sources.by_item.get_mut(&self.content_id) else {
            return;
        };
        source.users = source.users.saturating_sub(1);
        if source.users == 0 && source.unwanted {
            sources.by_item.remove(&self.content_id);
            self.scratch.remove_file(&self.content_id);
        }
    }
}
