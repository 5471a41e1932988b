//! What waits to be written, bounded by bytes; and what was taken away while it was being written.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::record::RecordKey;
use crate::disk_tier::DiskRecord;
use crate::key::KeyHash;

/// What is to be written.
#[derive(Debug)]
pub(super) enum Work {
    /// A response, or a record alone.
    Store {
        slot: KeyHash,
        record: DiskRecord,
        /// Every chunk of the body; empty when they are there already.
        chunks: Vec<Bytes>,
    },
    /// A record that is on the disk and would leave it soon.
    Keep { key: RecordKey, content: Bytes },
}

impl Work {
    /// The slot whose record it writes.
    fn slot(&self) -> Option<KeyHash> {
        match self {
            Self::Store { slot, .. } => Some(*slot),
            Self::Keep {
                key: RecordKey::Slot(slot),
                ..
            } => Some(KeyHash(*slot)),
            Self::Keep { .. } => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Job {
    pub(super) work: Work,
    /// Bytes that it holds in memory.
    bytes: u64,
    superseded: AtomicBool,
}

impl Job {
    pub(super) fn new(work: Work, bytes: u64) -> Self {
        Self {
            work,
            bytes,
            superseded: AtomicBool::new(false),
        }
    }

    pub(super) fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::Acquire)
    }
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Arc<Job>>,
    /// Bytes of all that waits or is being written.
    bytes: u64,
    /// The latest job of each slot that waits or is being written.
    latest: HashMap<KeyHash, Arc<Job>>,
    /// Chunks that wait to be written again.
    keeping: HashSet<RecordKey>,
    /// Slots whose record was taken away while it was on its way to the disk: it is not to be found, though the
    /// storage engine would still find it.
    hidden: HashMap<KeyHash, Hidden>,
}

#[derive(Debug, Clone, Copy)]
struct Hidden {
    /// The record was handed to the storage engine by this batch or an earlier one.
    until_batch: u64,
}

#[derive(Debug)]
pub(super) struct WriteQueue {
    bytes_max: u64,
    state: Mutex<State>,
    wake: Notify,
    /// True while nothing waits and nothing is being written.
    idle: watch::Sender<bool>,
}

impl WriteQueue {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            state: Mutex::default(),
            wake: Notify::new(),
            idle: watch::Sender::new(true),
        }
    }

    /// Takes a job in; false when there is no room. An older job of the same slot is superseded, whose record would be
    /// replaced at once.
    pub(super) fn push(&self, job: Job) -> bool {
        let mut state = self.state.lock();
        if state.bytes.saturating_add(job.bytes) > self.bytes_max {
            return false;
        }
        if let Work::Keep { key, .. } = &job.work {
            // It is a courtesy: it takes no more than half the room, and nobody's place.
            let is_underway = match job.work.slot() {
                Some(slot) => state.latest.contains_key(&slot),
                None => state.keeping.contains(key),
            };
            if is_underway || state.bytes > self.bytes_max / 2 {
                return false;
            }
            if job.work.slot().is_none() {
                state.keeping.insert(*key);
            }
        }
        state.bytes += job.bytes;
        let job = Arc::new(job);
        if let Some(slot) = job.work.slot()
            && let Some(older) = state.latest.insert(slot, Arc::clone(&job))
        {
            older.superseded.store(true, Ordering::Release);
        }
        state.waiting.push_back(job);
        self.idle.send_replace(false);
        drop(state);
        self.wake.notify_one();
        true
    }

    /// Waits for jobs, and takes as many as make `bytes`, or one. What it returns must be given to [`Self::finish`].
    pub(super) async fn next_batch(&self, bytes: u64) -> Vec<Arc<Job>> {
        loop {
            let batch = self.take(bytes);
            if !batch.is_empty() {
                return batch;
            }
            self.wake.notified().await;
        }
    }

    fn take(&self, bytes_max: u64) -> Vec<Arc<Job>> {
        let mut state = self.state.lock();
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(job) = state.waiting.front() {
            bytes += job.bytes;
            if bytes > bytes_max && !batch.is_empty() {
                break;
            }
            batch.extend(state.waiting.pop_front());
        }
        batch
    }

    /// Hands a job's record to the storage engine by `put`, unless it is superseded. A removal comes wholly before or
    /// wholly after it.
    pub(super) fn hand_over(&self, job: &Job, put: impl FnOnce()) -> bool {
        let _state = self.state.lock();
        if job.is_superseded() {
            return false;
        }
        put();
        true
    }

    /// The batch is written or lost: its jobs are forgotten, and so is what had to be hidden while it was on its way.
    pub(super) fn finish(&self, batch: &[Arc<Job>], number: u64) {
        let mut state = self.state.lock();
        for job in batch {
            state.bytes -= job.bytes;
            match (&job.work, job.work.slot()) {
                (_, Some(slot)) => {
                    let latest = state.latest.get(&slot);
                    if latest.is_some_and(|latest| Arc::ptr_eq(latest, job)) {
                        state.latest.remove(&slot);
                    }
                }
                (Work::Keep { key, .. }, None) => {
                    state.keeping.remove(key);
                }
                (Work::Store { .. }, None) => {}
            }
        }
        state.hidden.retain(|_, hidden| hidden.until_batch > number);
        if state.waiting.is_empty() && state.bytes == 0 {
            self.idle.send_replace(true);
        }
    }

    /// Takes a slot's record away by `delete`, which tells whether there may be one, and whatever is on its way to it.
    /// `batch` is the number of the batch that is being written. False when there was certainly nothing.
    pub(super) fn remove(&self, slot: KeyHash, batch: u64, delete: impl FnOnce() -> bool) -> bool {
        let mut state = self.state.lock();
        let is_on_its_way = state.latest.remove(&slot).is_some_and(|job| {
            job.superseded.store(true, Ordering::Release);
            // It may have been handed over already.
            state.hidden.insert(slot, Hidden { until_batch: batch });
            true
        });
        let is_hidden = state.hidden.contains_key(&slot);
        let may_hold = delete();
        is_on_its_way || is_hidden || may_hold
    }

    /// Whether the slot's record, though the storage engine may find it, was taken away.
    pub(super) fn hides(&self, slot: KeyHash) -> bool {
        self.state.lock().hidden.contains_key(&slot)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.state.lock().bytes
    }

    /// Returns once nothing waits and nothing is being written.
    pub(super) async fn wait_idle(&self) {
        // The sender is held by `self`.
        let _ = self.idle.subscribe().wait_for(|idle| *idle).await;
    }
}
