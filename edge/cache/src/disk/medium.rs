//! What the tier asks of whatever keeps its records. [`super::FoyerFolder`] is the real one; tests put faults before it.

use std::fmt::Debug;
use std::future::poll_fn;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;
use bytes::Bytes;
use mcsp_edge_mapped::Part;
use thiserror::Error;

use super::record::RecordKey;

/// What is wrong with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It takes longer than its deadlines.
    Slow,
    /// It has no room.
    Full,
    /// It refuses reads or writes, or it is gone.
    Failed,
}

impl Trouble {
    /// The word for it in reasons and logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Full => "full",
            Self::Failed => "failed",
        }
    }
}

/// The disk did not do what it was asked.
#[derive(Debug, Clone, Error)]
#[error("{}: {reason}", path.display())]
pub struct MediumError {
    /// What is wrong.
    pub trouble: Trouble,
    /// Where.
    pub path: PathBuf,
    /// What it said.
    pub reason: String,
}

impl MediumError {
    /// Always: whatever it is, it may pass, and the tier asks again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        true
    }

    pub(super) fn failed(path: &Path, reason: impl ToString) -> Self {
        Self {
            trouble: Trouble::Failed,
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// `act` at `path` met `error`.
    pub(super) fn io(path: &Path, act: &str, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let trouble = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Trouble::Full
            }
            _ => Trouble::Failed,
        };
        Self {
            trouble,
            path: path.to_owned(),
            reason: format!("cannot {act}: {error}"),
        }
    }
}

/// Where records are kept. Opened when the tier starts, and again after each failure.
#[async_trait]
pub trait Medium: Send + Sync + Debug {
    /// Opens what is there. What was given by an earlier `open` must be dropped before.
    ///
    /// # Errors
    /// When it cannot be used, or when an earlier one is still at work.
    async fn open(&self) -> Result<Arc<dyn RecordStore>, MediumError>;

    /// Writes a little, past every cache, and reads it back. Waits as long as the disk takes, also for what was asked before:
    /// the caller bounds it.
    ///
    /// # Errors
    /// When that does not work.
    async fn probe(&self) -> Result<(), MediumError>;

    /// Looks whether it is still what was opened, and returns the bytes that it takes. Waits as [`Self::probe`] does.
    ///
    /// # Errors
    /// When it is not there any more.
    async fn check(&self) -> Result<u64, MediumError>;

    /// Returns once everything that was opened and dropped is at rest.
    async fn released(&self);
}

/// A record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its bytes.
    pub content: Bytes,
    /// It lies among the oldest, which leave next: whoever wants it kept writes it again.
    pub is_leaving: bool,
}

impl Loaded {
    /// A part of it, which does not hold the rest in memory.
    #[must_use]
    pub fn part(self, within: Range<usize>) -> Option<Self> {
        if within == (0..self.content.len()) {
            return Some(self);
        }
        Some(Self {
            content: Bytes::copy_from_slice(self.content.get(within)?),
            is_leaving: false,
        })
    }
}

/// Records by key. A record that is found is whole: each is checked against its checksum and its key.
#[async_trait]
pub trait RecordStore: Send + Sync + Debug {
    /// The record, or nothing when there is none or it is damaged.
    ///
    /// # Errors
    /// When the disk refuses to be read.
    async fn load(&self, key: RecordKey) -> Result<Option<Loaded>, MediumError>;

    /// The record, if that can be said without waiting for the disk; nothing says nothing.
    fn load_now(&self, _key: RecordKey) -> Option<Loaded> {
        None
    }

    /// The bytes `within` a record, as [`Self::load`]; of those that leave soon the part alone is no reason to write it again.
    ///
    /// # Errors
    /// As [`Self::load`].
    async fn load_part(
        &self,
        key: RecordKey,
        within: Range<usize>,
    ) -> Result<Option<Loaded>, MediumError> {
        let loaded = self.load(key).await?;
        Ok(loaded.and_then(|loaded| loaded.part(within)))
    }

    /// The same, if that can be said without waiting for the disk; nothing says nothing.
    fn load_part_now(&self, _key: RecordKey, _within: Range<usize>) -> Option<Loaded> {
        None
    }

    /// Where the bytes `within` a record may be sent from as they lie, if that can be said without waiting: where they were found to
    /// be whole since they came into the kernel's memory. Nothing says nothing.
    fn lying(&self, _key: RecordKey, _within: Range<usize>) -> Option<Part> {
        None
    }

    /// A write was lost, and what else it harmed nobody knows: from here on nothing goes out as it lies, and each read is checked,
    /// until the disk is opened again.
    fn distrust(&self) {}

    /// Bytes of memory that lie idle until something is read into them.
    fn spare_bytes(&self) -> u64 {
        0
    }

    /// Blocks that the kernel refused to map since it was opened: what lies in them is copied before it is sent.
    fn blocks_unmapped(&self) -> u64 {
        0
    }

    /// Whether there should be a record; from memory.
    fn contains(&self, key: RecordKey) -> bool;

    /// Begins to write a record. Whether it was written shows in [`Self::contains`] after [`Self::settle`].
    fn put(&self, key: RecordKey, content: Bytes);

    /// Takes a record away. One that is being written may be found until [`Self::settle`].
    fn delete(&self, key: RecordKey);

    /// Returns once everything begun is written or lost.
    async fn settle(&self);
}

/// The storage engine panicked: it is of no more use, and may be opened anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the storage engine panicked")]
pub(super) struct Panicked;

/// [`RecordStore::settle`], which is where an engine that has come into disorder over a write that failed shows it: whoever
/// looks after the disk must outlive that, or nobody would say that it is not in use any more.
pub(super) async fn settle(store: &dyn RecordStore) -> Result<(), Panicked> {
    let mut settling = store.settle();
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| settling.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
            Err(_) => Poll::Ready(Err(Panicked)),
        },
    )
    .await
}
