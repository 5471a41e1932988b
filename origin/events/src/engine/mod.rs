//! The embedded engine: one redb file, one writer thread, readers that wait in memory.
//!
//! What is acknowledged was committed with `Durability::Immediate` (one fsync shared by every call that waited).
//! Memory knows where each partition begins and ends, so a reader that waits costs no disk; it learns of a change
//! only once the change is on disk.

mod batch;
mod errors;
mod file;
mod groups;
mod registry;
mod spread;
mod sweep;
mod tables;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::select_all;
use mcsp_runtime::SharedClock;
use parking_lot::Mutex;
use redb::{Database, ReadableDatabase};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

use self::errors::storage;
use self::groups::{Groups, Shape};
use self::registry::{Registry, Topic};
use self::tables::{COMMITTED, RECORDS, decode_record};
use self::writer::{Call, Commit, QUEUE_CALLS_MAX, Reply, Work, Writer};
use crate::limits::{
    check_append, check_batch, check_name, check_partitions, check_session_timeout,
};
use crate::{
    Assignment, EventError, EventLog, NewRecord, PartitionState, Position, READ_BYTES_MAX, Record,
    WAIT_MAX,
};

pub use self::writer::Swept;

/// The most that appends which wait for the writer add up to, KiB.
const QUEUE_KIB_MAX: u32 = 64 * 1024;
/// How long a call waits for room in the writer's queue.
const QUEUE_WAIT: Duration = Duration::from_secs(5);

/// A log in one file, owned by this process.
#[derive(Debug)]
pub struct RedbLog {
    db: Arc<Database>,
    registry: Arc<Registry>,
    groups: Arc<Mutex<Groups>>,
    clock: SharedClock,
    memory: Arc<Semaphore>,
    calls: Option<mpsc::Sender<Call>>,
    writer: Option<JoinHandle<()>>,
}

impl RedbLog {
    /// Opens the log at `path`; creates it, readable by its owner only, if there is none. After a kill it is repaired
    /// to its last commit, which holds everything that was acknowledged.
    ///
    /// # Errors
    /// [`EventError::Unavailable`] when the file cannot be opened or another process has it,
    /// [`EventError::Corrupt`] when it is damaged or of another version.
    pub fn open(path: &Path, clock: SharedClock) -> Result<Self, EventError> {
        let file::Opened {
            db,
            registry,
            boots,
        } = file::open(path)?;
        let db = Arc::new(db);
        let registry = Arc::new(registry);
        let groups = Arc::new(Mutex::new(Groups::new(boots)));
        let (calls, waiting) = mpsc::channel(QUEUE_CALLS_MAX);
        let writer = Writer {
            db: Arc::clone(&db),
            registry: Arc::clone(&registry),
            groups: Arc::clone(&groups),
            clock: Arc::clone(&clock),
        };
        let thread = std::thread::Builder::new()
            .name("event-log".to_owned())
            .spawn(move || writer.run(waiting))
            .map_err(|error| {
                EventError::Unavailable(format!("no thread for the writer: {error}"))
            })?;
        Ok(Self {
            db,
            registry,
            groups,
            clock,
            memory: Arc::new(Semaphore::new(QUEUE_KIB_MAX as usize)),
            calls: Some(calls),
            writer: Some(thread),
        })
    }

    /// Removes records whose retention has ended, at most `records_max`.
    ///
    /// # Errors
    /// As [`EventLog::append`].
    pub async fn sweep(&self, records_max: u64) -> Result<Swept, EventError> {
        self.ask(None, |reply| Work::Sweep { records_max, reply })
            .await
    }

    /// Enforces retention until the log is dropped.
    pub(crate) fn sweeper(&self) -> impl Future<Output = ()> + Send + use<> {
        sweep::sweep_forever(self.calls.as_ref().map(mpsc::Sender::downgrade))
    }

    /// Hands work to the writer and waits for its answer.
    async fn ask<T>(
        &self,
        bytes: Option<usize>,
        work: impl FnOnce(Reply<T>) -> Work,
    ) -> Result<T, EventError> {
        let overloaded =
            || EventError::Unavailable("overloaded: the writer's queue is full".to_owned());
        let stopped = || EventError::Unavailable("the writer has stopped".to_owned());
        let calls = self.calls.as_ref().ok_or_else(stopped)?;
        let memory = match bytes {
            None => None,
            Some(bytes) => {
                let kib = u32::try_from(bytes / 1024 + 1)
                    .unwrap_or(QUEUE_KIB_MAX)
                    .min(QUEUE_KIB_MAX);
                let acquired = tokio::time::timeout(
                    QUEUE_WAIT,
                    Arc::clone(&self.memory).acquire_many_owned(kib),
                )
                .await;
                Some(acquired.map_err(|_| overloaded())?.map_err(|_| stopped())?)
            }
        };
        let (reply, answer) = oneshot::channel();
        let call = Call {
            work: work(reply),
            _memory: memory,
        };
        calls
            .send_timeout(call, QUEUE_WAIT)
            .await
            .map_err(|_| overloaded())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Reads the file without holding up the runtime.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, EventError> + Send + 'static,
    ) -> Result<T, EventError> {
        let db = Arc::clone(&self.db);
        tokio::task::spawn_blocking(move || work(&db))
            .await
            .map_err(|error| EventError::Unavailable(format!("the read did not finish: {error}")))?
    }

    async fn fetch(
        &self,
        topic: &Topic,
        partition: u32,
        from_offset: u64,
        records_max: usize,
    ) -> Result<Vec<Record>, EventError> {
        let (id, name) = (topic.id, topic.name.clone());
        self.blocking(move |db| {
            let transaction = db.begin_read().map_err(storage)?;
            let table = transaction.open_table(RECORDS).map_err(storage)?;
            let mut records = Vec::new();
            let mut bytes = 0;
            let range = (id, partition, from_offset)..=(id, partition, u64::MAX);
            for entry in table.range(range).map_err(storage)?.take(records_max) {
                let (key, stored) = entry.map_err(storage)?;
                bytes += stored.value().len();
                if bytes > READ_BYTES_MAX && !records.is_empty() {
                    break;
                }
                let position = Position {
                    topic: name.clone(),
                    partition,
                    offset: key.value().2,
                };
                records.push(decode_record(position, stored.value())?);
            }
            Ok(records)
        })
        .await
    }

    fn readable(&self, position: &Position) -> Result<bool, EventError> {
        let topic = self.registry.topic(&position.topic)?;
        is_readable(&topic, position.partition, position.offset)
    }
}

impl Drop for RedbLog {
    /// Lets the writer finish what was handed to it, then releases the file.
    fn drop(&mut self) {
        self.calls = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the event log's writer had panicked");
        }
    }
}

#[async_trait]
impl EventLog for RedbLog {
    async fn ensure_topic(
        &self,
        topic: &str,
        partitions: u32,
        retention: Duration,
    ) -> Result<(), EventError> {
        check_name("topic", topic)?;
        check_partitions(partitions)?;
        let retention_ms = i64::try_from(retention.as_millis())
            .map_err(|_| EventError::Invalid(format!("retention {retention:?} is too long")))?;
        if let Ok(known) = self.registry.topic(topic)
            && known.partition_count() == partitions
            && known.retention_ms() == retention_ms
        {
            return Ok(());
        }
        let topic = topic.to_owned();
        self.ask(None, |reply| Work::EnsureTopic {
            topic,
            partitions,
            retention_ms,
            reply,
        })
        .await
    }

    async fn append(&self, records: Vec<NewRecord>) -> Result<Vec<Position>, EventError> {
        let bytes = check_append(&records)?;
        self.ask(Some(bytes), |reply| Work::Append { records, reply })
            .await
    }

    async fn read(
        &self,
        topic: &str,
        partition: u32,
        from_offset: u64,
        records_max: usize,
        wait: Duration,
    ) -> Result<Vec<Record>, EventError> {
        check_batch("records", records_max)?;
        let topic = self.registry.topic(topic)?;
        let mut changed = topic.watch();
        let deadline = Instant::now() + wait.min(WAIT_MAX);
        loop {
            changed.mark_unchanged();
            if is_readable(&topic, partition, from_offset)? {
                let records = self
                    .fetch(&topic, partition, from_offset, records_max)
                    .await?;
                // Empty when the sweep took the last of them in between.
                if !records.is_empty() {
                    return Ok(records);
                }
            }
            match tokio::time::timeout_at(deadline, changed.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Ok(Vec::new()),
            }
        }
    }

    async fn ready(
        &self,
        positions: &[Position],
        wait: Duration,
    ) -> Result<Vec<Position>, EventError> {
        check_batch("positions", positions.len())?;
        let deadline = Instant::now() + wait.min(WAIT_MAX);
        let mut topics: Vec<&str> = positions
            .iter()
            .map(|position| position.topic.as_str())
            .collect();
        topics.sort_unstable();
        topics.dedup();
        let mut watches = topics
            .into_iter()
            .map(|name| Ok(self.registry.topic(name)?.watch()))
            .collect::<Result<Vec<watch::Receiver<()>>, EventError>>()?;
        loop {
            watches.iter_mut().for_each(watch::Receiver::mark_unchanged);
            let mut ready = Vec::new();
            for position in positions {
                if self.readable(position)? {
                    ready.push(position.clone());
                }
            }
            if !ready.is_empty() {
                return Ok(ready);
            }
            let any = select_all(watches.iter_mut().map(|watch| Box::pin(watch.changed())));
            if tokio::time::timeout_at(deadline, any).await.is_err() {
                return Ok(ready);
            }
        }
    }

    async fn join(
        &self,
        group: &str,
        member: &str,
        topics: &[String],
        session_timeout: Duration,
    ) -> Result<Assignment, EventError> {
        check_name("group", group)?;
        check_name("member", member)?;
        check_batch("topics", topics.len())?;
        check_session_timeout(session_timeout)?;
        let now_ms = self.clock.now_ms();
        self.groups.lock().join(
            group,
            member,
            topics,
            session_timeout,
            now_ms,
            &*self.registry,
        )
    }

    async fn heartbeat(&self, group: &str, member: &str) -> Result<Assignment, EventError> {
        self.groups
            .lock()
            .heartbeat(group, member, self.clock.now_ms(), &*self.registry)
    }

    async fn leave(&self, group: &str, member: &str) -> Result<(), EventError> {
        self.groups
            .lock()
            .leave(group, member, self.clock.now_ms(), &*self.registry);
        Ok(())
    }

    async fn commit(
        &self,
        group: &str,
        member: &str,
        generation: u64,
        topic: &str,
        partition: u32,
        next_offset: u64,
    ) -> Result<(), EventError> {
        let commit = Commit {
            group: group.to_owned(),
            member: member.to_owned(),
            generation,
            topic: topic.to_owned(),
            partition,
            next_offset,
        };
        self.ask(None, |reply| Work::Commit { commit, reply }).await
    }

    async fn committed(&self, group: &str, topic: &str, partition: u32) -> Result<u64, EventError> {
        check_name("group", group)?;
        let topic = self.registry.topic(topic)?;
        topic.partition(partition)?;
        let (group, id) = (group.to_owned(), topic.id);
        self.blocking(move |db| {
            let transaction = db.begin_read().map_err(storage)?;
            let table = transaction.open_table(COMMITTED).map_err(storage)?;
            let committed = table
                .get((group.as_str(), id, partition))
                .map_err(storage)?;
            Ok(committed.map_or(0, |offset| offset.value()))
        })
        .await
    }

    async fn describe(&self, topic: &str) -> Result<Vec<PartitionState>, EventError> {
        Ok(self.registry.topic(topic)?.partitions())
    }
}

impl Shape for Registry {
    fn partitions(&self, topic: &str) -> Option<u32> {
        self.topic(topic).ok().map(|topic| topic.partition_count())
    }

    fn version(&self) -> u64 {
        Self::version(self)
    }
}

fn is_readable(topic: &Topic, partition: u32, from_offset: u64) -> Result<bool, EventError> {
    let state = topic.partition(partition)?;
    if from_offset > state.next_offset {
        return Err(EventError::Invalid(format!(
            "offset {from_offset} of {:?}/{partition}, which ends at {}",
            topic.name, state.next_offset
        )));
    }
    Ok(from_offset.max(state.first_offset) < state.next_offset)
}
