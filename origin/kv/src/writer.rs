//! One thread that does all writes to a `sled` tree, and flushes them together before any is acknowledged.
//!
//! `sled` keeps writes in the process's memory until a flush, so a kill would lose them; a flush of each by itself would
//! be slow. Writes that queue up during one flush share the next.

use std::fmt;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sled::Tree;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::KvError;

/// Writes that wait for their turn; more wait outside, within the time limit.
const QUEUE_WRITES_MAX: usize = 1024;
/// The most writes that share one flush.
const BATCH_WRITES_MAX: usize = 256;
/// How long a caller waits for its acknowledgement.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a write did.
pub(crate) struct Change<T> {
    pub(crate) output: T,
    /// False when nothing was written, so that nothing needs a flush.
    pub(crate) wrote: bool,
}

impl<T> Change<T> {
    pub(crate) fn written(output: T) -> Self {
        Self {
            output,
            wrote: true,
        }
    }

    pub(crate) fn nothing(output: T) -> Self {
        Self {
            output,
            wrote: false,
        }
    }
}

/// A write in the queue: does it, and returns how to acknowledge it once it is flushed.
type Write = Box<dyn FnOnce(&Tree) -> Done + Send>;

/// Tells the caller, who hears of the flush's failure as its own.
type Acknowledge = Box<dyn FnOnce(&Result<(), KvError>) + Send>;

struct Done {
    wrote: bool,
    acknowledge: Acknowledge,
}

/// The way to the thread. Dropping it waits until what is queued is done, so that the folder can be opened again.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Write>>,
    thread: Option<JoinHandle<()>>,
}

/// A way to the thread that does not keep it alive.
pub(crate) struct WeakWriter {
    queue: mpsc::WeakSender<Write>,
}

impl Writer {
    pub(crate) fn start(tree: Tree) -> Result<Self, KvError> {
        let (queue, mut writes) = mpsc::channel(QUEUE_WRITES_MAX);
        let thread = thread::Builder::new()
            .name("mcsp-kv-writer".to_owned())
            .spawn(move || {
                let mut batch = Vec::with_capacity(BATCH_WRITES_MAX);
                while writes.blocking_recv_many(&mut batch, BATCH_WRITES_MAX) > 0 {
                    run_batch(&tree, &mut batch);
                }
            })
            .map_err(|error| KvError::Unavailable(format!("no thread for writes: {error}")))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    pub(crate) fn downgrade(&self) -> Option<WeakWriter> {
        self.queue.as_ref().map(|queue| WeakWriter {
            queue: queue.downgrade(),
        })
    }

    /// Does `write` in turn with all others; returns when it is flushed.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Tree) -> Result<Change<T>, KvError> + Send + 'static,
    ) -> Result<T, KvError> {
        let gone = || KvError::Unavailable("the writer has stopped".to_owned());
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        let (write, outcome) = prepare(write);
        let acknowledged = async {
            queue.send(write).await.map_err(|_| gone())?;
            outcome.await.map_err(|_| gone())?
        };
        timeout(WRITE_TIMEOUT, acknowledged).await.map_err(|_| {
            KvError::Unavailable(format!(
                "no acknowledgement in {} s",
                WRITE_TIMEOUT.as_secs()
            ))
        })?
    }
}

impl WeakWriter {
    /// Queues `write` if the store is open and not busy; `None` when it is closed.
    pub(crate) fn try_write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Tree) -> Result<Change<T>, KvError> + Send + 'static,
    ) -> Option<oneshot::Receiver<Result<T, KvError>>> {
        let queue = self.queue.upgrade()?;
        let (write, outcome) = prepare(write);
        // When the queue is full, the outcome's sender is dropped with the write.
        let _ = queue.try_send(write);
        Some(outcome)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the key-value writer had panicked");
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

fn prepare<T: Send + 'static>(
    write: impl FnOnce(&Tree) -> Result<Change<T>, KvError> + Send + 'static,
) -> (Write, oneshot::Receiver<Result<T, KvError>>) {
    let (sender, outcome) = oneshot::channel();
    let write: Write = Box::new(move |tree| {
        let result = write(tree);
        // A failed write may have been half done.
        let wrote = result.as_ref().map_or(true, |change| change.wrote);
        let acknowledge = Box::new(move |flushed: &Result<(), KvError>| {
            // What was only looked at may be another's write of the same batch, so the failure is everybody's.
            let outcome = flushed.clone().and(result.map(|change| change.output));
            // A caller that stopped waiting is told nothing.
            let _ = sender.send(outcome);
        });
        Done { wrote, acknowledge }
    });
    (write, outcome)
}

fn run_batch(tree: &Tree, batch: &mut Vec<Write>) {
    let done: Vec<Done> = batch.drain(..).map(|write| write(tree)).collect();
    let flushed = if done.iter().any(|done| done.wrote) {
        tree.flush().map(drop).map_err(from_sled)
    } else {
        Ok(())
    };
    for done in done {
        (done.acknowledge)(&flushed);
    }
}

pub(crate) fn from_sled(error: sled::Error) -> KvError {
    match error {
        sled::Error::Corruption { .. } | sled::Error::ReportableBug(_) => {
            KvError::Corrupt(error.to_string())
        }
        error => KvError::Unavailable(error.to_string()),
    }
}
