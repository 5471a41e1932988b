//! What was taken away, on disk, so that a restart does not bring it back.
//!
//! A thread of its own writes; [`PurgeLog::flush`] waits for it, so that a purge is acknowledged only when it would
//! outlive a loss of power. A log that cannot be read as a whole makes everything older count as purged.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex, MutexGuard};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::history::{PurgeRecord, record_bytes};
use crate::past::{InvalidationRecord, LogRecord, Past};

/// Records that may wait for the disk; when there are more, all that is known is written down as a whole.
const QUEUE_MAX: usize = 1024;
/// Bytes of records that may wait for the disk, likewise.
const QUEUE_BYTES_MAX: usize = 1 << 20;
/// Those who may wait until all is durable.
const FLUSHES_MAX: usize = 1024;
/// Bytes of records that are added to a log before it is written anew.
const ADDED_BYTES_MAX: usize = 16 << 20;
/// Records that come before a store that failed is tried again, unless somebody waits.
const RETRY_AFTER: usize = 1024;
/// Bytes of an invalidation in the log, at most.
pub(crate) const INVALIDATION_BYTES: usize = 160;
/// Bits of a generation that count purges; those above are the number of the run, so that generations go up even where
/// the last purges of a run were lost.
const PURGE_BITS: u32 = 40;

/// What a log held.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct PurgeSnapshot {
    /// The number of the last run that wrote it; 0 is none.
    pub epoch: u64,
    /// Purges up to this generation were forgotten, and count as purges of everything.
    pub floor: u64,
    /// Invalidations up to this generation were forgotten, and count as invalidations of every key of a plain route.
    pub plain_floor: u64,
    /// The purges, the oldest first.
    pub records: Vec<PurgeRecord>,
    /// The invalidations, the oldest first.
    pub invalidated: Vec<InvalidationRecord>,
    /// Was a part of it unreadable?
    pub is_damaged: bool,
}

/// Where purges are kept.
pub trait PurgeStore: Send + Debug {
    /// Reads all of it.
    ///
    /// # Errors
    /// When the store cannot be read at all.
    fn load(&mut self) -> io::Result<PurgeSnapshot>;

    /// Puts `snapshot` in place of what was there, durably and as one.
    ///
    /// # Errors
    /// When it could not; then what was there still is.
    fn replace(&mut self, snapshot: &PurgeSnapshot) -> io::Result<()>;

    /// Adds records, durably.
    ///
    /// # Errors
    /// When it could not be sure that they are there.
    fn append(&mut self, records: &[LogRecord]) -> io::Result<()>;
}

/// A purge may not outlive a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a purge could not be written down; it holds until the next restart")]
pub struct NotDurable;

impl NotDurable {
    /// May a later flush succeed?
    #[must_use]
    pub fn is_retryable(self) -> bool {
        true
    }
}

/// The writer's end of the log. Its methods are called under the ledger's lock, so that the log has the ledger's order.
#[derive(Debug)]
pub(crate) struct PurgeLog {
    desk: Arc<Desk>,
    writer: Option<JoinHandle<()>>,
    epoch: u64,
}

/// Where work is laid down for the writer.
#[derive(Debug, Default)]
struct Desk {
    pending: Mutex<Pending>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Pending {
    /// All that was known then, to be written before `records`.
    whole: Option<PurgeSnapshot>,
    records: Vec<LogRecord>,
    record_bytes: usize,
    flushes: Vec<oneshot::Sender<bool>>,
    /// The writer is at what it took last.
    is_writing: bool,
    /// The store failed: what it holds is not all, and only a whole will do.
    failed: bool,
    /// Records that came since and were left to the next whole.
    left_out: usize,
    /// Bytes that were added since the last whole.
    added_bytes: usize,
    is_closed: bool,
}

impl Pending {
    fn lay_whole(&mut self, snapshot: PurgeSnapshot) {
        self.whole = Some(snapshot);
        self.records.clear();
        self.record_bytes = 0;
        self.left_out = 0;
        self.added_bytes = 0;
    }

    /// Does the log lack something that nothing pending brings?
    fn needs_whole(&self) -> bool {
        self.failed && self.whole.is_none()
    }

    fn is_empty(&self) -> bool {
        self.whole.is_none() && self.records.is_empty() && self.flushes.is_empty()
    }
}

impl PurgeLog {
    /// Reads what `store` has, and begins a run of its own in it. Returns the past so far and the run's number.
    pub(crate) fn open(mut store: Box<dyn PurgeStore>) -> io::Result<(Self, Past, u64)> {
        let found = store.load()?;
        let epoch = found.epoch + 1;
        let past = Past::restore(&found, epoch << PURGE_BITS);
        drop(found);
        store.replace(&past.snapshot(epoch))?;
        let desk = Arc::new(Desk::default());
        let of_writer = Arc::clone(&desk);
        let writer = std::thread::Builder::new()
            .name("purge-log".to_owned())
            .spawn(move || of_writer.write_all(store.as_mut()))?;
        let log = Self {
            desk,
            writer: Some(writer),
            epoch,
        };
        Ok((log, past, epoch))
    }

    /// Hands what was just entered into `past` to the writer, without waiting.
    pub(crate) fn append(&self, record: LogRecord, past: &Past) {
        let mut pending = self.desk.pending.lock();
        if pending.needs_whole() && pending.left_out < RETRY_AFTER {
            pending.left_out += 1;
            return;
        }
        let bytes = bytes_of(&record);
        let is_much = pending.records.len() >= QUEUE_MAX
            || pending.record_bytes + bytes > QUEUE_BYTES_MAX
            || pending.added_bytes + bytes > ADDED_BYTES_MAX;
        if pending.needs_whole() || is_much {
            pending.lay_whole(past.snapshot(self.epoch));
        } else {
            pending.records.push(record);
            pending.record_bytes += bytes;
            pending.added_bytes += bytes;
        }
        drop(pending);
        self.desk.wake.notify_one();
    }

    /// Asks to be told when all that is in `past` is durable, and has a store that failed tried again. Nothing when too
    /// many ask already.
    pub(crate) fn flush(&self, past: &Past) -> Option<oneshot::Receiver<bool>> {
        let mut pending = self.desk.pending.lock();
        if pending.needs_whole() {
            pending.lay_whole(past.snapshot(self.epoch));
        }
        self.wait(pending)
    }

    /// The same for those who come as often as clients let them: a store that failed is not tried again for them.
    pub(crate) fn flush_if_well(&self) -> Option<oneshot::Receiver<bool>> {
        let pending = self.desk.pending.lock();
        if pending.needs_whole() {
            return None;
        }
        self.wait(pending)
    }

    fn wait(&self, mut pending: MutexGuard<'_, Pending>) -> Option<oneshot::Receiver<bool>> {
        let (done, waits) = oneshot::channel();
        if pending.is_empty() && !pending.is_writing {
            let _ = done.send(!pending.failed);
            return Some(waits);
        }
        if pending.flushes.len() >= FLUSHES_MAX {
            return None;
        }
        pending.flushes.push(done);
        drop(pending);
        self.desk.wake.notify_one();
        Some(waits)
    }
}

impl Drop for PurgeLog {
    fn drop(&mut self) {
        // The writer ends when nothing is left to write.
        self.desk.pending.lock().is_closed = true;
        self.desk.wake.notify_one();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Desk {
    fn write_all(&self, store: &mut dyn PurgeStore) {
        loop {
            let mut pending = self.pending.lock();
            while pending.is_empty() && !pending.is_closed {
                self.wake.wait(&mut pending);
            }
            if pending.is_empty() {
                return;
            }
            let whole = pending.whole.take();
            let records = std::mem::take(&mut pending.records);
            pending.record_bytes = 0;
            let flushes = std::mem::take(&mut pending.flushes);
            let mut is_all = !pending.failed;
            pending.is_writing = true;
            drop(pending);
            if let Some(whole) = whole {
                is_all = store.replace(&whole).is_ok();
            }
            // What waits is written with one wait for the disk; after a failure it is in the next whole.
            if is_all && !records.is_empty() {
                is_all = store.append(&records).is_ok();
            }
            {
                let mut pending = self.pending.lock();
                pending.failed = !is_all;
                pending.is_writing = false;
            }
            for done in flushes {
                let _ = done.send(is_all);
            }
        }
    }
}

fn bytes_of(record: &LogRecord) -> usize {
    match record {
        LogRecord::Purge(record) => record_bytes(&record.purge),
        LogRecord::Invalidation(_) => INVALIDATION_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyHash;

    /// A store that takes its time, until the test lets it.
    #[derive(Debug, Default, Clone)]
    struct Held {
        lines: Arc<Mutex<usize>>,
    }

    impl PurgeStore for Held {
        fn load(&mut self) -> io::Result<PurgeSnapshot> {
            Ok(PurgeSnapshot::default())
        }

        fn replace(&mut self, snapshot: &PurgeSnapshot) -> io::Result<()> {
            *self.lines.lock() = snapshot.records.len() + snapshot.invalidated.len();
            Ok(())
        }

        fn append(&mut self, records: &[LogRecord]) -> io::Result<()> {
            *self.lines.lock() += records.len();
            Ok(())
        }
    }

    #[test]
    fn what_waits_for_a_slow_disk_is_bounded_and_nothing_of_it_is_lost() {
        const RECORDS: usize = 10 * QUEUE_MAX + 5;
        let store = Held::default();
        let (log, mut past, _) = PurgeLog::open(Box::new(store.clone())).unwrap();
        let slow = store.lines.lock();
        for n in 0..RECORDS {
            let record = past.invalidate(KeyHash(n as u128), true).unwrap();
            log.append(record, &past);
            let pending = log.desk.pending.lock();
            assert!(pending.records.len() <= QUEUE_MAX && pending.record_bytes <= QUEUE_BYTES_MAX);
        }
        drop(slow);
        drop(log);
        assert_eq!(*store.lines.lock(), RECORDS);
    }
}
