//! The tier as the engine sees it.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mcsp_edge_mapped::Part;
use mcsp_runtime::{Entropy, SharedClock};
use parking_lot::{Mutex, RwLock};
use prometheus::Registry;
use thiserror::Error;
use tokio::sync::watch;

use super::config::{DiskConfig, DiskConfigError};
use super::foyer_folder::FoyerFolder;
use super::head::{chunk_count, chunk_len};
use super::health::{DiskHealth, Health};
use super::lineage::lineage_of;
use super::medium::{Medium, RecordStore, Trouble, settle};
use super::metrics::{DiskMetrics, Read, Written};
use super::queue::{Job, Work, WriteQueue};
use super::record::{RECORD_BYTES_MAX, RecordKey};
use crate::cache::Backing;
use crate::disk_tier::{Accepted, DiskError, DiskHead, DiskRecord, DiskState, DiskTier, Examined};
use crate::key::KeyHash;
use crate::purge_file::PurgeFile;

/// Why there is no disk tier. A disk that does not work is not among the reasons: the tier is degraded then.
#[derive(Debug, Error)]
pub enum DiskOpenError {
    /// The configuration cannot be used.
    #[error("cache: {0}")]
    Config(#[from] DiskConfigError),
    /// The metrics are registered already.
    #[error("disk metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// What was purged cannot be kept.
    #[error("the purge history at {}: {source}", path.display())]
    Purges {
        /// Where.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
}

impl DiskOpenError {
    /// Whether it may pass by itself.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Purges { .. })
    }
}

/// A disk tier. It works from [`Disk::open`] until it is closed or dropped.
#[derive(Debug)]
pub struct Disk {
    shared: Arc<Shared>,
}

/// What the tier's tasks share with it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) read_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) medium: Arc<dyn Medium>,
    pub(super) clock: SharedClock,
    pub(super) metrics: DiskMetrics,
    pub(super) health: Mutex<Health>,
    /// There while the disk is healthy.
    pub(super) live: RwLock<Option<Arc<dyn RecordStore>>>,
    /// There while the disk is slow: it may come back as it is.
    pub(super) parked: Mutex<Option<Arc<dyn RecordStore>>>,
    pub(super) queue: WriteQueue,
    /// The number of the batch that is, or was last, being written.
    pub(super) batch: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) closing: watch::Sender<bool>,
}

impl Disk {
    /// Everything that a cache needs to outlive a restart: the tier in the folder of `config`, and the purge history
    /// beside it, bound to one another. Content that was written under another history is removed.
    ///
    /// Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// As [`Disk::open`], and when the purge history cannot be read or written.
    pub async fn backing(
        config: &DiskConfig,
        clock: SharedClock,
        entropy: &dyn Entropy,
        registry: &Registry,
    ) -> Result<(Arc<Self>, Backing), DiskOpenError> {
        config.validate()?;
        let beside = |what: &str| {
            let mut path = config.dir.clone().into_os_string();
            path.push(what);
            PathBuf::from(path)
        };
        let path = beside(".purges");
        let prepare = || {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            lineage_of(&path, &beside(".lineage"), entropy)
        };
        let lineage = prepare().map_err(|source| DiskOpenError::Purges {
            path: path.clone(),
            source,
        })?;
        let disk = Arc::new(Self::open(config, lineage, clock, registry).await?);
        let backing = Backing {
            tier: Arc::clone(&disk) as Arc<dyn DiskTier>,
            purges: Box::new(PurgeFile::new(path)),
        };
        Ok((disk, backing))
    }

    /// Opens the folder of `config`. Its content is kept if it was written under the same `lineage`, and removed
    /// otherwise: the lineage is a number that goes with the purge history, and changes when that is lost.
    ///
    /// Must be called within a Tokio runtime. A disk that does not work makes no error: the tier begins degraded.
    ///
    /// # Errors
    /// When the configuration cannot be used, or its metrics are registered already.
    pub async fn open(
        config: &DiskConfig,
        lineage: u128,
        clock: SharedClock,
        registry: &Registry,
    ) -> Result<Self, DiskOpenError> {
        let medium = Arc::new(FoyerFolder::new(config, lineage));
        Self::open_on(medium, config, clock, registry).await
    }

    /// The same with another medium; for tests.
    ///
    /// # Errors
    /// As [`Disk::open`].
    pub async fn open_on(
        medium: Arc<dyn Medium>,
        config: &DiskConfig,
        clock: SharedClock,
        registry: &Registry,
    ) -> Result<Self, DiskOpenError> {
        config.validate()?;
        let shared = Arc::new(Shared {
            dir: config.dir.clone(),
            read_timeout: Duration::from_millis(config.read_timeout_ms),
            write_timeout: Duration::from_millis(config.write_timeout_ms),
            medium,
            clock,
            metrics: DiskMetrics::register(registry)?,
            health: Mutex::default(),
            live: RwLock::default(),
            parked: Mutex::default(),
            queue: WriteQueue::new(config.queue_bytes_max),
            batch: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            closing: watch::Sender::new(false),
        });
        match shared.medium.open().await {
            Ok(store) => *shared.live.write() = Some(store),
            Err(error) => shared.degrade(error.trouble, error.to_string()),
        }
        super::writer::spawn(&shared);
        super::upkeep::spawn(&shared);
        Ok(Self { shared })
    }

    /// The disk's health, for the admin port.
    #[must_use]
    pub fn health(&self) -> DiskHealth {
        self.shared.health.lock().report()
    }

    /// Returns once everything that was queued is written or dropped.
    pub async fn settled(&self) {
        self.shared.queue.wait_idle().await;
    }

    fn accept(&self, slot: KeyHash, record: DiskRecord, chunks: Vec<Bytes>) -> Accepted {
        let outcome = if self.shared.live.read().is_none() {
            Written::Degraded
        } else {
            let bytes: usize = chunks.iter().map(Bytes::len).sum();
            let bytes = bytes as u64 + record_weight(&record);
            let work = Work::Store {
                slot,
                record,
                chunks,
            };
            if self.shared.queue.push(Job::new(work, bytes)) {
                self.shared.measure_queue();
                return Accepted::Queued;
            }
            Written::Refused
        };
        self.shared.metrics.written(outcome);
        Accepted::Dropped
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.shared.closing.send_replace(true);
    }
}

/// Bytes that a record takes in the queue, at the least.
fn record_weight(record: &DiskRecord) -> u64 {
    const FIXED: usize = 512;
    let bytes = match record {
        DiskRecord::Head(head) => {
            let headers = head
                .headers
                .iter()
                .map(|(name, value)| name.as_str().len() + value.len());
            let body = head.body.as_ref().map_or(0, Bytes::len);
            head.key.len() + headers.sum::<usize>() + body
        }
        DiskRecord::Rules { key, .. } => key.len(),
    };
    (FIXED + bytes) as u64
}

impl Shared {
    pub(super) fn live(&self) -> Option<Arc<dyn RecordStore>> {
        self.live.read().clone()
    }

    pub(super) fn measure_queue(&self) {
        let bytes = i64::try_from(self.queue.bytes()).unwrap_or(i64::MAX);
        self.metrics.queue_bytes.set(bytes);
    }

    /// Leaves the disk alone from now on, until a probe says that it works.
    pub(super) fn degrade(&self, trouble: Trouble, reason: String) {
        let store = {
            // Together: who sees one of these sees the others.
            let (mut live, mut health) = (self.live.write(), self.health.lock());
            health.degrade(trouble, reason, self.clock.now_ms());
            self.metrics.degraded.set(1);
            live.take()
        };
        if trouble == Trouble::Slow && store.is_some() {
            *self.parked.lock() = store;
        }
    }
}

pub(super) fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn wide(within: Range<u32>) -> Range<usize> {
    let wide = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
    wide(within.start)..wide(within.end)
}

/// Where each of the head's chunks is found.
pub(super) fn chunk_keys(head: &DiskHead) -> impl Iterator<Item = RecordKey> + use<> {
    let body_id = head.body_id;
    (0..chunk_count(head).unwrap_or(0)).map(move |index| RecordKey::Chunk { body_id, index })
}

/// Whether the chunks are those that the head tells of.
fn fits(head: &DiskHead, chunks: &[Bytes]) -> bool {
    let is_body =
        |body: &Bytes| body.len() as u64 == head.total_len && body.len() <= RECORD_BYTES_MAX;
    head.body.as_ref().is_none_or(is_body)
        && chunk_count(head).is_some_and(|count| count as usize == chunks.len())
        && chunks.iter().enumerate().all(|(index, chunk)| {
            chunk.len() <= RECORD_BYTES_MAX && chunk_len(head, index) == Some(chunk.len())
        })
}

#[async_trait]
impl DiskTier for Disk {
    fn may_hold(&self, slot: KeyHash) -> bool {
        let Some(store) = self.shared.live() else {
            return false;
        };
        store.contains(RecordKey::Slot(slot.0)) && !self.shared.queue.hides(slot)
    }

    async fn load(&self, slot: KeyHash) -> Result<Option<DiskRecord>, DiskError> {
        let key = RecordKey::Slot(slot.0);
        if self.shared.queue.hides(slot) {
            return Ok(None);
        }
        let Some(loaded) = self.shared.read(key, None).await? else {
            return Ok(None);
        };
        // It may have been taken away meanwhile.
        let Some(store) = self.shared.live() else {
            return Err(DiskError::Degraded);
        };
        Ok(self.shared.record_of(slot, &*store, &loaded))
    }

    async fn examine(&self, slot: KeyHash) -> Result<Option<Examined>, DiskError> {
        let key = RecordKey::Slot(slot.0);
        let Some(store) = self.shared.live() else {
            return Err(DiskError::Degraded);
        };
        // Not counted as a read that found nothing: a request would not have come so far.
        if self.shared.queue.hides(slot) || !store.contains(key) {
            return Ok(None);
        }
        let Some(loaded) = self.shared.read(key, None).await? else {
            return Ok(None);
        };
        let Some(store) = self.shared.live() else {
            return Err(DiskError::Degraded);
        };
        Ok(self.shared.examined(slot, &*store, &loaded))
    }

    fn load_now(&self, slot: KeyHash) -> Option<DiskRecord> {
        let key = RecordKey::Slot(slot.0);
        let store = self.shared.live()?;
        // Whether there is a record still is looked at when it has been read.
        let loaded = store.load_now(key)?;
        self.shared.metrics.read(Read::Hit);
        self.shared.record_of(slot, &*store, &loaded)
    }

    fn load_chunk_now(&self, body_id: u128, index: u32, within: Range<u32>) -> Option<Bytes> {
        let key = RecordKey::Chunk { body_id, index };
        let store = self.shared.live()?;
        if !store.contains(key) {
            return None;
        }
        let loaded = store.load_part_now(key, wide(within))?;
        self.shared.metrics.read(Read::Hit);
        self.shared.keep(key, &loaded);
        Some(loaded.content)
    }

    fn chunk_lying(&self, body_id: u128, index: u32, within: Range<u32>) -> Option<Part> {
        let key = RecordKey::Chunk { body_id, index };
        let part = self.shared.live()?.lying(key, wide(within))?;
        self.shared.metrics.read(Read::InPlace);
        Some(part)
    }

    async fn load_chunk(
        &self,
        body_id: u128,
        index: u32,
        within: Range<u32>,
    ) -> Result<Option<Bytes>, DiskError> {
        let key = RecordKey::Chunk { body_id, index };
        let loaded = self.shared.read(key, Some(wide(within))).await?;
        Ok(loaded.map(|loaded| {
            self.shared.keep(key, &loaded);
            loaded.content
        }))
    }

    fn store(&self, slot: KeyHash, head: DiskHead, chunks: Vec<Bytes>) -> Accepted {
        if !fits(&head, &chunks) {
            self.shared.metrics.written(Written::Refused);
            return Accepted::Dropped;
        }
        self.accept(slot, DiskRecord::Head(Box::new(head)), chunks)
    }

    fn store_record(&self, slot: KeyHash, record: DiskRecord) -> Accepted {
        self.accept(slot, record, Vec::new())
    }

    fn remove(&self, slot: KeyHash) -> bool {
        let key = RecordKey::Slot(slot.0);
        let batch = self.shared.batch.load(Ordering::Acquire);
        let store = self
            .shared
            .live()
            .or_else(|| self.shared.parked.lock().clone());
        self.shared.queue.remove(slot, batch, || {
            // What a disk that is not at work has will be known when it is.
            let Some(store) = store else { return true };
            let may_hold = store.contains(key);
            if may_hold {
                store.delete(key);
            }
            may_hold
        })
    }

    fn state(&self) -> DiskState {
        self.shared.health.lock().state()
    }

    fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    fn blocks_unmapped(&self) -> u64 {
        self.shared
            .live()
            .map_or(0, |store| store.blocks_unmapped())
    }

    async fn close(&self) {
        let shared = &self.shared;
        // What does not get written in this time is dropped with the rest of the queue.
        let _ = tokio::time::timeout(shared.write_timeout, shared.queue.wait_idle()).await;
        // Removals do not pass through the queue; the storage engine may have them still.
        if let Some(store) = shared.live() {
            let _ = tokio::time::timeout(shared.write_timeout, settle(&*store)).await;
        }
        shared.closing.send_replace(true);
        shared.live.write().take();
        shared.parked.lock().take();
        let _ = tokio::time::timeout(shared.write_timeout, shared.medium.released()).await;
    }
}
