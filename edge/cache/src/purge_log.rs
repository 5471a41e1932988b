//! The purge history on disk, so that a restart does not bring back what was purged.
//!
//! A thread of its own writes; [`PurgeLog::flush`] waits for it, so that a purge is acknowledged only when it would
//! outlive a loss of power. A log that cannot be read as a whole makes everything older count as purged.

use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::history::{HISTORY_MAX, History, PurgeRecord};

/// Records that may wait for the disk; more are written down as a whole later.
const QUEUE_MAX: usize = 1024;
/// Records that are written with one wait for the disk.
const BATCH_MAX: usize = 256;
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
    /// The purges, the oldest first.
    pub records: Vec<PurgeRecord>,
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
    fn append(&mut self, records: &[PurgeRecord]) -> io::Result<()>;
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

enum Order {
    Append(PurgeRecord),
    Replace(PurgeSnapshot),
    Flush(oneshot::Sender<bool>),
}

/// The writer's end of the log. Its methods are called under the ledger's lock, so that the log has the ledger's order.
#[derive(Debug)]
pub(crate) struct PurgeLog {
    state: Mutex<LogState>,
    /// The store failed: what it holds is not all.
    failed: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
    epoch: u64,
}

#[derive(Debug)]
struct LogState {
    orders: Option<SyncSender<Order>>,
    /// The queue was full, so records were left out.
    left_out: bool,
    appended: usize,
}

impl PurgeLog {
    /// Reads what `store` has, and begins a run of its own in it. Returns the history so far and the run's number.
    pub(crate) fn open(mut store: Box<dyn PurgeStore>) -> io::Result<(Self, History, u64)> {
        let found = store.load()?;
        let epoch = found.epoch + 1;
        let mut history = History::default();
        history.set_floor(found.floor);
        for record in &found.records {
            history.replay(record);
        }
        history.advance_to(epoch << PURGE_BITS);
        if found.is_damaged {
            history.distrust();
        }
        store.replace(&snapshot(&history, epoch))?;
        let (orders, queue) = sync_channel(QUEUE_MAX);
        let failed = Arc::new(AtomicBool::new(false));
        let fails = Arc::clone(&failed);
        let writer = std::thread::Builder::new()
            .name("purge-log".to_owned())
            .spawn(move || write_all(store.as_mut(), &queue, &fails))?;
        let log = Self {
            state: Mutex::new(LogState {
                orders: Some(orders),
                left_out: false,
                appended: 0,
            }),
            failed,
            writer: Some(writer),
            epoch,
        };
        Ok((log, history, epoch))
    }

    /// Hands a purge to the writer without waiting.
    pub(crate) fn append(&self, record: PurgeRecord, history: &History) {
        let mut state = self.state.lock();
        if state.left_out || state.appended >= HISTORY_MAX || self.failed.load(Ordering::Acquire) {
            self.replace(&mut state, history);
            return;
        }
        state.appended += 1;
        state.left_out = !send(&state, Order::Append(record));
    }

    fn replace(&self, state: &mut LogState, history: &History) {
        state.appended = 0;
        state.left_out = !send(state, Order::Replace(snapshot(history, self.epoch)));
    }

    /// Asks to be told when every purge so far is durable; nothing when that cannot be.
    pub(crate) fn flush(&self, history: &History) -> Option<oneshot::Receiver<bool>> {
        let mut state = self.state.lock();
        if state.left_out || self.failed.load(Ordering::Acquire) {
            self.replace(&mut state, history);
        }
        let (done, waits) = oneshot::channel();
        (!state.left_out && send(&state, Order::Flush(done))).then_some(waits)
    }
}

/// False when the queue is full.
fn send(state: &LogState, order: Order) -> bool {
    state
        .orders
        .as_ref()
        .is_some_and(|orders| orders.try_send(order).is_ok())
}

impl Drop for PurgeLog {
    fn drop(&mut self) {
        // The writer ends when the queue is empty and closed.
        self.state.get_mut().orders = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn snapshot(history: &History, epoch: u64) -> PurgeSnapshot {
    PurgeSnapshot {
        epoch,
        floor: history.floor(),
        records: history.records(),
        is_damaged: false,
    }
}

fn write_all(store: &mut dyn PurgeStore, queue: &Receiver<Order>, failed: &AtomicBool) {
    let mut batch = Vec::new();
    while let Ok(first) = queue.recv() {
        let mut next = Some(first);
        // What waits is written with one wait for the disk.
        while let Some(Order::Append(record)) = next {
            batch.push(record);
            next = if batch.len() < BATCH_MAX {
                queue.try_recv().ok()
            } else {
                None
            };
        }
        // After a failure only a whole will do; the purges that wait are in it.
        if !batch.is_empty() && !failed.load(Ordering::Acquire) && store.append(&batch).is_err() {
            failed.store(true, Ordering::Release);
        }
        batch.clear();
        match next {
            Some(Order::Replace(snapshot)) => {
                failed.store(store.replace(&snapshot).is_err(), Ordering::Release);
            }
            Some(Order::Flush(done)) => {
                let _ = done.send(!failed.load(Ordering::Acquire));
            }
            Some(Order::Append(_)) | None => {}
        }
    }
}
