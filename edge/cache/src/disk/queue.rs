//! What waits to be written, bounded by bytes; and what was taken away while it was being written.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::record::RecordKey;
use crate::disk_tier::DiskRecord;
use crate::key::KeyHash;

/// How long the first of a batch waits for others. Whatever one batch has, the engine writes a page that tells what lies where,
/// waits for both, and that page is read again: ten times what a small record costs.
const GATHERING: Duration = Duration::from_millis(50);

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
    /// How many wait until nothing waits: then nobody waits for others.
    hurrying: AtomicUsize,
    /// True while nothing waits and nothing is being written.
    idle: watch::Sender<bool>,
}

impl WriteQueue {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            state: Mutex::default(),
            wake: Notify::new(),
            hurrying: AtomicUsize::new(0),
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

    /// Waits for jobs, a little longer for more of them, and takes as many as make `bytes`, or one. What it returns must be given
    /// to [`Self::finish`].
    pub(super) async fn next_batch(&self, bytes: u64) -> Vec<Arc<Job>> {
        while self.state.lock().waiting.is_empty() {
            self.wake.notified().await;
        }
        let is_enough = || {
            let is_hurried = self.hurrying.load(Ordering::Acquire) > 0;
            is_hurried || self.state.lock().bytes >= bytes
        };
        let gathered = async {
            while !is_enough() {
                self.wake.notified().await;
            }
        };
        // More than enough is as good as enough.
        let _ = tokio::time::timeout(GATHERING, gathered).await;
        self.take(bytes)
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
        let _hurry = Hurry::of(self);
        // The sender is held by `self`.
        let _ = self.idle.subscribe().wait_for(|idle| *idle).await;
    }
}

/// Somebody waits until everything is written.
struct Hurry<'q>(&'q WriteQueue);

impl<'q> Hurry<'q> {
    fn of(queue: &'q WriteQueue) -> Self {
        queue.hurrying.fetch_add(1, Ordering::AcqRel);
        queue.wake.notify_one();
        Self(queue)
    }
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.hurrying.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    fn job(index: u32) -> Job {
        let key = RecordKey::Chunk { body_id: 1, index };
        let content = Bytes::from_static(b"1");
        Job::new(Work::Keep { key, content }, 1)
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_shortly_after_is_written_with_it() {
        let queue = WriteQueue::new(100);
        let push = async {
            for index in 0..3 {
                assert!(queue.push(job(index)));
                sleep(GATHERING / 4).await;
            }
        };
        let (batch, ()) = tokio::join!(queue.next_batch(50), push);
        assert_eq!(batch.len(), 3);
        queue.finish(&batch, 1);

        // Enough is not waited with.
        let started = Instant::now();
        for index in 0..10 {
            assert!(queue.push(job(index)));
        }
        let batch = queue.next_batch(4).await;
        assert_eq!((batch.len(), started.elapsed()), (4, Duration::ZERO));
        queue.finish(&batch, 2);
        // Nor is anybody kept waiting by it.
        let write = async {
            let batch = queue.next_batch(100).await;
            queue.finish(&batch, 3);
        };
        tokio::join!(queue.wait_idle(), write);
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}
