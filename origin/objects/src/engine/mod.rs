//! The local engine: immutable files in a folder, each published by one rename.
//!
//! ```text
//! lock                                  held by the one process that owns the folder
//! tmp/                                  files on their way; emptied at every start
//! buckets/{bucket}/{step}/{step}/{step}=   an object: its bytes and its record, or a record that lists parts
//! multipart/{upload}/upload             what the upload is for
//! multipart/{upload}/{number}           a part: its bytes and its record
//! multipart/{upload}/completed          the object was made; the folder lives as long as the object
//! ```
//!
//! The order of steps makes a crash at any point harmless: a file is durable before it is renamed, the rename is durable
//! before the caller hears of it, and parts are removed only after no record leads to them.

mod disk;
mod listing;
mod multipart;
mod objects;
mod reader;
mod record;
mod recovery;
mod store;
mod writer;

use std::fs::File;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use mcsp_runtime::{SharedClock, SharedEntropy, hex_lower};
use parking_lot::{Mutex, MutexGuard, RwLock, RwLockWriteGuard};

use self::disk::failed;
use self::writer::Writer;
use crate::ObjectError;
use crate::name::{check_bucket, no_bucket};

pub(crate) use self::multipart::{PART_NUMBER_MAX, PartRequest};
pub(crate) use self::objects::{Opened, Precondition, PutRequest};
pub(crate) use self::record::{multipart_etag, quoted, unquoted};

/// Gathered before a write, so that small network reads do not become small disk writes.
const WRITE_BYTES: usize = 1 << 20;
const LOCK_STRIPES: usize = 256;

/// How the engine treats its disk.
#[derive(Debug, Clone, Copy)]
pub struct FileEngineOptions {
    /// Writes are refused as [`ObjectError::Unavailable`] while the file system has fewer bytes free than this, so that
    /// removals and other users of the disk still find room. Default 256 MiB.
    pub free_bytes_min: u64,
}

impl Default for FileEngineOptions {
    fn default() -> Self {
        Self {
            free_bytes_min: 256 << 20,
        }
    }
}

/// Buckets in a local folder, for the one process that owns it. Everyone else goes through [`crate::S3Endpoint`].
#[derive(Debug, Clone)]
pub struct FileEngine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    options: FileEngineOptions,
    clock: SharedClock,
    entropy: SharedEntropy,
    /// One object is changed by one caller at a time; a stripe stands for many keys.
    keys: [Mutex<()>; LOCK_STRIPES],
    /// Folders of keys are created and removed alone; files are renamed into them by many.
    folders: RwLock<()>,
    /// The operating system lets go of it when the process ends, however it ends.
    _owner: File,
}

impl FileEngine {
    /// Opens the folder, creating it if there is none, and tidies what a crash left.
    ///
    /// # Errors
    /// [`ObjectError::Conflict`] when another process owns the folder, [`ObjectError::Unavailable`] when it cannot be
    /// used.
    pub async fn open(
        dir: &Path,
        clock: SharedClock,
        entropy: SharedEntropy,
    ) -> Result<Self, ObjectError> {
        Self::open_with(dir, FileEngineOptions::default(), clock, entropy).await
    }

    /// [`Self::open`] with options.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_with(
        dir: &Path,
        options: FileEngineOptions,
        clock: SharedClock,
        entropy: SharedEntropy,
    ) -> Result<Self, ObjectError> {
        let root = dir.to_owned();
        let inner = tokio::task::spawn_blocking(move || Inner::open(root, options, clock, entropy))
            .await
            .map_err(|error| ObjectError::Unavailable(format!("open the store: {error}")))??;
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Makes a bucket; one that is there stays as it is.
    ///
    /// # Errors
    /// [`ObjectError::Invalid`] for a name that is not 3 to 63 of `a-z 0-9 -`.
    pub async fn create_bucket(&self, bucket: &str) -> Result<(), ObjectError> {
        let bucket = bucket.to_owned();
        self.run(move |inner| {
            check_bucket(&bucket)?;
            let _alone = inner.folders.write();
            let buckets = inner.root.join("buckets");
            disk::create_dirs(&buckets, &buckets.join(&bucket))
                .map_err(|error| failed("create a bucket", &error))
        })
        .await
    }

    /// Runs file work off the async threads.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, ObjectError> + Send + 'static,
    ) -> Result<T, ObjectError> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .map_err(|error| ObjectError::Unavailable(format!("file work: {error}")))?
    }

    /// Writes a body aside. Refuses more than `bytes_max`, and an end that is not at `bytes_expected`.
    async fn receive<S>(
        &self,
        body: S,
        bytes_max: u64,
        bytes_expected: Option<u64>,
    ) -> Result<Writer, ObjectError>
    where
        S: Stream<Item = Result<Bytes, ObjectError>> + Send + Unpin,
    {
        let too_large =
            || ObjectError::Invalid(format!("the body is larger than {bytes_max} bytes"));
        if bytes_expected.is_some_and(|bytes| bytes > bytes_max) {
            return Err(too_large());
        }
        let mut writer = self.run(Inner::new_writer).await?;
        let mut body = body.fuse();
        loop {
            let mut chunks = Vec::new();
            let mut gathered = 0;
            while gathered < WRITE_BYTES {
                let Some(chunk) = body.next().await else {
                    break;
                };
                let chunk = chunk?;
                gathered += chunk.len();
                chunks.push(chunk);
            }
            if chunks.is_empty() {
                break;
            }
            let total = writer
                .size_bytes()
                .saturating_add(u64::try_from(gathered).unwrap_or(u64::MAX));
            if total > bytes_max {
                return Err(too_large());
            }
            writer = self
                .run(move |_| {
                    writer
                        .write(&chunks)
                        .map_err(|error| failed("write", &error))?;
                    Ok(writer)
                })
                .await?;
        }
        match bytes_expected {
            Some(bytes) if bytes != writer.size_bytes() => Err(ObjectError::Invalid(format!(
                "the body ended after {} of {bytes} bytes",
                writer.size_bytes()
            ))),
            _ => Ok(writer),
        }
    }
}

impl Inner {
    fn bucket_dir(&self, bucket: &str) -> Result<PathBuf, ObjectError> {
        check_bucket(bucket)?;
        let dir = self.root.join("buckets").join(bucket);
        if dir.is_dir() {
            Ok(dir)
        } else {
            Err(no_bucket(bucket))
        }
    }

    fn new_writer(&self) -> Result<Writer, ObjectError> {
        self.check_free_space()?;
        Writer::create(self.temporary_path()).map_err(|error| failed("create a file", &error))
    }

    fn temporary_path(&self) -> PathBuf {
        self.root.join("tmp").join(self.new_id())
    }

    /// 128 random bits, so that names never meet.
    fn new_id(&self) -> String {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        hex_lower(&bytes)
    }

    fn check_free_space(&self) -> Result<(), ObjectError> {
        let stat = rustix::fs::statvfs(&self.root)
            .map_err(|error| failed("ask for free space", &io::Error::from(error)))?;
        if stat.f_bavail.saturating_mul(stat.f_frsize) < self.options.free_bytes_min {
            return Err(ObjectError::Unavailable("the disk is full".to_owned()));
        }
        Ok(())
    }

    fn lock_key(&self, bucket: &str, key: &str) -> MutexGuard<'_, ()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((bucket, key));
        let stripe = usize::try_from(hash % 256).unwrap_or_default();
        // The index is within the array for every hash.
        self.keys.get(stripe).unwrap_or(&self.keys[0]).lock()
    }

    /// Renames a sealed file to `target` and makes that durable, creating the folders of its key.
    fn publish(&self, writer: Writer, root: &Path, target: &Path) -> io::Result<()> {
        let parent = target
            .parent()
            .ok_or_else(|| io::Error::other("a file outside the store"))?;
        let mut shared = self.folders.read();
        if !parent.is_dir() {
            drop(shared);
            let alone = self.folders.write();
            disk::create_dirs(root, parent)?;
            shared = RwLockWriteGuard::downgrade(alone);
        }
        writer.rename_to(target)?;
        disk::sync_dir(parent)?;
        drop(shared);
        Ok(())
    }
}
