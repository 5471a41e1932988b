//! What the open log knows of its topics, so that a reader that waits needs no disk.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use tokio::sync::watch;

use crate::{EventError, PartitionState};

/// A topic of the open log.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) id: u32,
    pub(super) name: String,
    shape: RwLock<Shape>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct Shape {
    retention_ms: i64,
    partitions: Vec<PartitionState>,
}

impl Topic {
    pub(super) fn new(
        id: u32,
        name: String,
        retention_ms: i64,
        partitions: Vec<PartitionState>,
    ) -> Self {
        Self {
            id,
            name,
            shape: RwLock::new(Shape {
                retention_ms,
                partitions,
            }),
            changed: watch::Sender::new(()),
        }
    }

    /// What the partition holds; [`EventError::Invalid`] when there is no such partition.
    pub(super) fn partition(&self, partition: u32) -> Result<PartitionState, EventError> {
        let shape = self.shape.read();
        let found = usize::try_from(partition)
            .ok()
            .and_then(|i| shape.partitions.get(i));
        found.copied().ok_or_else(|| {
            EventError::Invalid(format!(
                "topic {:?} has {} partitions, no number {partition}",
                self.name,
                shape.partitions.len()
            ))
        })
    }

    pub(super) fn partitions(&self) -> Vec<PartitionState> {
        self.shape.read().partitions.clone()
    }

    pub(super) fn partition_count(&self) -> u32 {
        u32::try_from(self.shape.read().partitions.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn retention_ms(&self) -> i64 {
        self.shape.read().retention_ms
    }

    /// Told whenever a partition of the topic changed.
    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Called by the writer once the change is on disk.
    pub(super) fn set_partition(&self, partition: u32, state: PartitionState) {
        let mut shape = self.shape.write();
        if let Some(slot) = usize::try_from(partition)
            .ok()
            .and_then(|i| shape.partitions.get_mut(i))
        {
            *slot = state;
        }
    }

    /// Called by the writer once the change is on disk.
    pub(super) fn reshape(&self, partitions: u32, retention_ms: i64) {
        let mut shape = self.shape.write();
        shape.retention_ms = retention_ms;
        let empty = PartitionState {
            first_offset: 0,
            next_offset: 0,
        };
        let len = usize::try_from(partitions)
            .unwrap_or(0)
            .max(shape.partitions.len());
        shape.partitions.resize(len, empty);
    }

    pub(super) fn wake_readers(&self) {
        self.changed.send_replace(());
    }
}

/// The topics of the open log.
#[derive(Debug, Default)]
pub(super) struct Registry {
    topics: RwLock<HashMap<String, Arc<Topic>>>,
    /// Rises when a topic appears or gets partitions, so that groups spread them.
    version: AtomicU64,
}

impl Registry {
    pub(super) fn topic(&self, name: &str) -> Result<Arc<Topic>, EventError> {
        let topics = self.topics.read();
        topics
            .get(name)
            .cloned()
            .ok_or_else(|| EventError::UnknownTopic(name.to_owned()))
    }

    pub(super) fn all(&self) -> Vec<Arc<Topic>> {
        self.topics.read().values().cloned().collect()
    }

    pub(super) fn insert(&self, topic: Topic) {
        self.topics
            .write()
            .insert(topic.name.clone(), Arc::new(topic));
        self.bump();
    }

    pub(super) fn bump(&self) {
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }
}
