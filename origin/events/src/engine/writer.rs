//! The one thread that writes. Whatever waits when it comes round goes into one transaction: an append waits for one
//! fsync, and many appends share it.

use std::sync::Arc;

use parking_lot::Mutex;
use redb::{Database, Durability};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::batch::Batch;
use super::errors::storage;
use super::groups::Groups;
use super::registry::Registry;
use crate::{EventError, NewRecord, Position};
use mcsp_runtime::SharedClock;

/// The most calls that wait for the writer.
pub(super) const QUEUE_CALLS_MAX: usize = 1024;
/// The most calls in one transaction.
const BATCH_CALLS_MAX: usize = 512;

/// A call that waits for the writer, with its share of the queue's memory.
pub(super) struct Call {
    pub(super) work: Work,
    pub(super) _memory: Option<OwnedSemaphorePermit>,
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, EventError>>;

/// What the writer can be asked for.
pub(super) enum Work {
    EnsureTopic {
        topic: String,
        partitions: u32,
        retention_ms: i64,
        reply: Reply<()>,
    },
    Append {
        records: Vec<NewRecord>,
        reply: Reply<Vec<Position>>,
    },
    Commit {
        commit: Commit,
        reply: Reply<()>,
    },
    Sweep {
        records_max: u64,
        reply: Reply<Swept>,
    },
}

/// A group's progress to store.
pub(super) struct Commit {
    pub(super) group: String,
    pub(super) member: String,
    pub(super) generation: u64,
    pub(super) topic: String,
    pub(super) partition: u32,
    pub(super) next_offset: u64,
}

/// What one step of the retention sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Swept {
    /// How many records were removed.
    pub removed: u64,
    /// True when the step's bound was reached, so that there may be more to remove.
    pub more: bool,
}

/// What the writer works on.
pub(super) struct Writer {
    pub(super) db: Arc<Database>,
    pub(super) registry: Arc<Registry>,
    pub(super) groups: Arc<Mutex<Groups>>,
    pub(super) clock: SharedClock,
}

impl Writer {
    /// Runs until the last sender is dropped.
    pub(super) fn run(self, mut calls: mpsc::Receiver<Call>) {
        while let Some(first) = calls.blocking_recv() {
            let mut waiting = vec![first];
            while waiting.len() < BATCH_CALLS_MAX {
                match calls.try_recv() {
                    Ok(call) => waiting.push(call),
                    Err(_) => break,
                }
            }
            self.run_batch(waiting);
        }
    }

    fn run_batch(&self, calls: Vec<Call>) {
        match self.write(calls) {
            Ok(settled) => settled.into_iter().for_each(Settled::acknowledge),
            Err((error, calls)) => {
                tracing::error!(error = %error, calls = calls.len(), "the event log could not write");
                for unsettled in calls {
                    unsettled.fail(&error);
                }
            }
        }
    }

    /// Applies every call and commits. After an error nothing of the batch counts as done, though it may be on disk.
    fn write(&self, calls: Vec<Call>) -> Result<Vec<Settled>, (EventError, Vec<Settled>)> {
        let mut settled = Vec::with_capacity(calls.len());
        let result = self.apply_all(calls, &mut settled);
        match result {
            Ok(()) => Ok(settled),
            Err(error) => Err((error, settled)),
        }
    }

    fn apply_all(&self, calls: Vec<Call>, settled: &mut Vec<Settled>) -> Result<(), EventError> {
        let mut rest = calls.into_iter();
        let mut run = || {
            let mut transaction = self.db.begin_write().map_err(storage)?;
            transaction
                .set_durability(Durability::Immediate)
                .map_err(storage)?;
            let changes = {
                let mut batch =
                    Batch::open(&transaction, &self.registry, &self.groups, &*self.clock)?;
                for call in rest.by_ref() {
                    settled.push(batch.apply(call.work)?);
                }
                batch.finish()?
            };
            if let Some(changes) = changes {
                transaction.commit().map_err(storage)?;
                changes.publish(&self.registry);
            } else {
                transaction.abort().map_err(storage)?;
            }
            Ok(())
        };
        let result = run();
        // Calls that were not reached fail with the batch.
        settled.extend(rest.map(|call| Settled::unreached(call.work)));
        result
    }
}

/// A call with the answer it gets once the transaction is on disk.
pub(super) enum Settled {
    Done(Reply<()>, Result<(), EventError>),
    Appended(Reply<Vec<Position>>, Result<Vec<Position>, EventError>),
    Swept(Reply<Swept>, Result<Swept, EventError>),
}

impl Settled {
    fn unreached(work: Work) -> Self {
        let unreached = || EventError::Unavailable("not written".to_owned());
        match work {
            Work::EnsureTopic { reply, .. } | Work::Commit { reply, .. } => {
                Self::Done(reply, Err(unreached()))
            }
            Work::Append { reply, .. } => Self::Appended(reply, Err(unreached())),
            Work::Sweep { reply, .. } => Self::Swept(reply, Err(unreached())),
        }
    }

    // A caller that has gone away needs no answer, so a failed send is nothing.
    fn acknowledge(self) {
        match self {
            Self::Done(reply, answer) => drop(reply.send(answer)),
            Self::Appended(reply, answer) => drop(reply.send(answer)),
            Self::Swept(reply, answer) => drop(reply.send(answer)),
        }
    }

    fn fail(self, error: &EventError) {
        let copy = match error {
            EventError::Corrupt(reason) => EventError::Corrupt(reason.clone()),
            other => EventError::Unavailable(other.to_string()),
        };
        match self {
            Self::Done(reply, _) => drop(reply.send(Err(copy))),
            Self::Appended(reply, _) => drop(reply.send(Err(copy))),
            Self::Swept(reply, _) => drop(reply.send(Err(copy))),
        }
    }
}
