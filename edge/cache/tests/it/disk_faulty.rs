//! A disk tier on a disk whose faults the test decides.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mcsp_edge_cache::disk::{
    Disk, DiskConfig, FoyerFolder, Loaded, Medium, MediumError, RecordKey, RecordStore, Trouble,
};
use mcsp_edge_cache::engine::{Accepted, DiskError, DiskState, DiskTier};
use mcsp_edge_mapped::Part;
use mcsp_runtime::ManualClock;
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::sync::watch;

use crate::disk_support::{
    Found, LINEAGE, clock, config, look, open, response, slot, store, until,
};

/// What the disk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    /// Nothing comes back until it is well.
    Stuck,
    /// There is no room: what is written is lost.
    Full,
    /// What is written is lost, and nothing shows it.
    Lossy,
    /// Reads are refused.
    Unreadable,
    /// The storage engine has come into disorder, and panics when it is waited for.
    Disordered,
    /// As a file system that went read-only on an error: what is there can be read, nothing can be written.
    ReadOnly,
}

#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) mood: watch::Sender<Mood>,
    /// How often the disk was opened.
    pub(crate) opened: Mutex<u32>,
    /// Blocks that cannot be mapped.
    pub(crate) unmapped: Mutex<u64>,
}

impl Faults {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            mood: watch::Sender::new(Mood::Well),
            opened: Mutex::new(0),
            unmapped: Mutex::new(0),
        })
    }

    fn mood(&self) -> Mood {
        *self.mood.borrow()
    }

    async fn pass(&self) {
        let _ = self
            .mood
            .subscribe()
            .wait_for(|mood| *mood != Mood::Stuck)
            .await;
    }
}

#[derive(Debug)]
struct FaultyMedium {
    real: FoyerFolder,
    faults: Arc<Faults>,
}

/// As bad as a store may be: what is being written is found, though it was deleted, until it has settled.
#[derive(Debug)]
struct FaultyStore {
    real: Arc<dyn RecordStore>,
    faults: Arc<Faults>,
    being_written: Mutex<HashMap<RecordKey, Bytes>>,
}

fn error(trouble: Trouble, reason: &str) -> MediumError {
    MediumError {
        trouble,
        path: "disk".into(),
        reason: reason.to_owned(),
    }
}

#[async_trait]
impl Medium for FaultyMedium {
    async fn open(&self) -> Result<Arc<dyn RecordStore>, MediumError> {
        if self.faults.mood() == Mood::ReadOnly {
            return Err(error(Trouble::Failed, "Read-only file system"));
        }
        let real = self.real.open().await?;
        *self.faults.opened.lock() += 1;
        Ok(Arc::new(FaultyStore {
            real,
            faults: Arc::clone(&self.faults),
            being_written: Mutex::default(),
        }))
    }

    async fn probe(&self) -> Result<(), MediumError> {
        self.faults.pass().await;
        match self.faults.mood() {
            Mood::Full => Err(error(Trouble::Full, "no room")),
            Mood::Unreadable => Err(error(Trouble::Failed, "no reading")),
            Mood::ReadOnly => Err(error(Trouble::Failed, "Read-only file system")),
            _ => self.real.probe().await,
        }
    }

    async fn check(&self) -> Result<u64, MediumError> {
        self.real.check().await
    }

    async fn released(&self) {
        self.real.released().await;
    }
}

#[async_trait]
impl RecordStore for FaultyStore {
    async fn load(&self, key: RecordKey) -> Result<Option<Loaded>, MediumError> {
        self.faults.pass().await;
        if self.faults.mood() == Mood::Unreadable {
            return Err(error(Trouble::Failed, "no reading"));
        }
        let being_written = self.being_written.lock().get(&key).cloned();
        if let Some(content) = being_written {
            return Ok(Some(Loaded {
                content,
                is_leaving: false,
            }));
        }
        self.real.load(key).await
    }

    fn blocks_unmapped(&self) -> u64 {
        *self.faults.unmapped.lock()
    }

    async fn load_part(
        &self,
        key: RecordKey,
        within: Range<usize>,
    ) -> Result<Option<Loaded>, MediumError> {
        let is_being_written = self.being_written.lock().contains_key(&key);
        if self.faults.mood() == Mood::Well && !is_being_written {
            return self.real.load_part(key, within).await;
        }
        let loaded = self.load(key).await?;
        Ok(loaded.and_then(|loaded| loaded.part(within)))
    }

    fn lying(&self, key: RecordKey, within: Range<usize>) -> Option<Part> {
        self.real.lying(key, within)
    }

    fn distrust(&self) {
        self.real.distrust();
    }

    fn contains(&self, key: RecordKey) -> bool {
        self.being_written.lock().contains_key(&key) || self.real.contains(key)
    }

    fn put(&self, key: RecordKey, content: Bytes) {
        if !matches!(
            self.faults.mood(),
            Mood::Full | Mood::Lossy | Mood::ReadOnly
        ) {
            self.being_written.lock().insert(key, content.clone());
            self.real.put(key, content);
        }
    }

    fn delete(&self, key: RecordKey) {
        if self.faults.mood() != Mood::ReadOnly {
            self.real.delete(key);
        }
    }

    async fn settle(&self) {
        self.faults.pass().await;
        assert_ne!(self.faults.mood(), Mood::Disordered, "as it was told to");
        self.real.settle().await;
        self.being_written.lock().clear();
    }
}

pub(crate) struct Setup {
    pub(crate) disk: Disk,
    pub(crate) faults: Arc<Faults>,
    pub(crate) clock: Arc<ManualClock>,
    registry: Registry,
    _dir: tempfile::TempDir,
}

impl Setup {
    /// A disk with `/old` on it.
    pub(crate) async fn new(timeout_ms: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = open(dir.path()).await;
        store(&disk, "/old", 1, 1 << 20).await;
        disk.close().await;
        drop(disk);
        let config = DiskConfig {
            read_timeout_ms: timeout_ms,
            write_timeout_ms: timeout_ms,
            ..config(dir.path())
        };
        let faults = Faults::new();
        let medium = FaultyMedium {
            real: FoyerFolder::new(&config, LINEAGE),
            faults: Arc::clone(&faults),
        };
        let clock = clock();
        let registry = Registry::new();
        let disk = Disk::open_on(Arc::new(medium), &config, clock.clone(), &registry)
            .await
            .unwrap();
        Self {
            disk,
            faults,
            clock,
            registry,
            _dir: dir,
        }
    }

    fn degraded_gauge(&self) -> f64 {
        self.gauge("mcsp_cache_disk_degraded")
    }

    pub(crate) fn gauge(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        family.unwrap().get_metric()[0].get_gauge().get_value()
    }

    /// The disk is left alone, and says why.
    pub(crate) async fn is_degraded(&self, state: &str, reason: &str) {
        until("the tier is degraded", || self.disk.health().state == state).await;
        let health = self.disk.health();
        assert!(
            health.reason.as_ref().unwrap().contains(reason),
            "{health:?}"
        );
        assert!(
            matches!(self.disk.state(), DiskState::Degraded { reason: said, .. } if said.contains(reason))
        );
        assert_eq!(self.degraded_gauge(), 1.0);
        assert!(!self.disk.may_hold(slot("/old")));
        let refused = self.disk.load(slot("/old")).await.unwrap_err();
        assert!(matches!(refused, DiskError::Degraded));
        let (head, chunks) = response("/new", 2, 1000);
        assert_eq!(
            self.disk.store(slot("/new"), head, chunks),
            Accepted::Dropped
        );
    }

    /// Time goes by until the disk is in use again; then what it had is there, and more can be added.
    pub(crate) async fn comes_back(&self) {
        until("the tier is healthy again", || {
            self.clock.advance(Duration::from_millis(500));
            self.disk.state() == DiskState::Healthy
        })
        .await;
        assert_eq!(self.degraded_gauge(), 0.0);
        assert_eq!(look(&self.disk, "/old").await, Found::Whole(1));
        store(&self.disk, "/new", 3, 1 << 20).await;
        assert_eq!(look(&self.disk, "/new").await, Found::Whole(3));
        self.disk.close().await;
    }
}
