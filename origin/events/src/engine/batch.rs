//! One write transaction: what the calls of a batch change, in the file and, once that is on disk, in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mcsp_runtime::Clock;
use parking_lot::Mutex;
use redb::{ReadableTable, Table, WriteTransaction};

use super::errors::storage;
use super::groups::Groups;
use super::registry::{Registry, Topic};
use super::tables::{
    COMMITTED, META, NEXT_TOPIC_ID, PARTITIONS, RECORDS, TOPICS, encode_record, timestamp_of,
};
use super::writer::{Commit, Settled, Swept, Work};
use crate::{EventError, NewRecord, PartitionState, Position, partition_of};

type Records<'t> = Table<'t, (u32, u32, u64), &'static [u8]>;

/// An open write transaction.
pub(super) struct Batch<'t> {
    transaction: &'t WriteTransaction,
    registry: &'t Registry,
    groups: &'t Mutex<Groups>,
    records: Records<'t>,
    committed: Table<'t, (&'static str, u32, u32), u64>,
    now_ms: i64,
    changes: Changes,
    wrote: bool,
}

/// What memory learns after the commit.
#[derive(Default)]
pub(super) struct Changes {
    partitions: BTreeMap<(u32, u32), (Arc<Topic>, PartitionState)>,
    created: HashMap<String, Topic>,
    reshaped: Vec<(Arc<Topic>, u32, i64)>,
}

impl Changes {
    /// Called when the transaction is on disk.
    pub(super) fn publish(self, registry: &Registry) {
        for topic in self.created.into_values() {
            registry.insert(topic);
        }
        for (topic, partitions, retention_ms) in self.reshaped {
            topic.reshape(partitions, retention_ms);
            registry.bump();
        }
        let mut woken: Option<Arc<Topic>> = None;
        // Sorted by topic, so that each topic's readers are woken once.
        for ((_, partition), (topic, state)) in self.partitions {
            topic.set_partition(partition, state);
            if let Some(previous) = woken.as_ref()
                && previous.id != topic.id
            {
                previous.wake_readers();
            }
            woken = Some(topic);
        }
        if let Some(last) = woken {
            last.wake_readers();
        }
    }
}

impl<'t> Batch<'t> {
    pub(super) fn open(
        transaction: &'t WriteTransaction,
        registry: &'t Registry,
        groups: &'t Mutex<Groups>,
        clock: &dyn Clock,
    ) -> Result<Self, EventError> {
        Ok(Self {
            records: transaction.open_table(RECORDS).map_err(storage)?,
            committed: transaction.open_table(COMMITTED).map_err(storage)?,
            transaction,
            registry,
            groups,
            now_ms: clock.now_ms(),
            changes: Changes::default(),
            wrote: false,
        })
    }

    /// Applies one call. A call that is refused changes nothing and gets its reason; an error here fails the batch.
    pub(super) fn apply(&mut self, work: Work) -> Result<Settled, EventError> {
        Ok(match work {
            Work::EnsureTopic {
                topic,
                partitions,
                retention_ms,
                reply,
            } => Settled::Done(
                reply,
                refusal(self.ensure_topic(&topic, partitions, retention_ms))?,
            ),
            Work::Append { records, reply } => {
                Settled::Appended(reply, refusal(self.append(&records))?)
            }
            Work::Commit { commit, reply } => Settled::Done(reply, refusal(self.commit(&commit))?),
            Work::Sweep { records_max, reply } => {
                Settled::Swept(reply, refusal(self.sweep(records_max))?)
            }
        })
    }

    /// Writes the partitions' new states; `None` when the batch changed nothing.
    pub(super) fn finish(self) -> Result<Option<Changes>, EventError> {
        if !self.wrote {
            return Ok(None);
        }
        let mut table = self.transaction.open_table(PARTITIONS).map_err(storage)?;
        for (key, (_, state)) in &self.changes.partitions {
            table
                .insert(key, (state.first_offset, state.next_offset))
                .map_err(storage)?;
        }
        Ok(Some(self.changes))
    }

    fn append(&mut self, records: &[NewRecord]) -> Result<Vec<Position>, EventError> {
        // Everything that can be refused is refused before the first write.
        let mut placed = Vec::with_capacity(records.len());
        for record in records {
            let topic = self.registry.topic(&record.topic)?;
            let partition = partition_of(&record.key, topic.partition_count());
            topic.partition(partition)?;
            placed.push((topic, partition));
        }
        self.wrote = true;
        let mut positions = Vec::with_capacity(records.len());
        for (record, (topic, partition)) in records.iter().zip(placed) {
            let mut state = self.state(&topic, partition)?;
            let offset = state.next_offset;
            let stored = encode_record(record, self.now_ms);
            self.records
                .insert((topic.id, partition, offset), stored.as_slice())
                .map_err(storage)?;
            state.next_offset += 1;
            self.changes
                .partitions
                .insert((topic.id, partition), (topic, state));
            positions.push(Position {
                topic: record.topic.clone(),
                partition,
                offset,
            });
        }
        Ok(positions)
    }

    fn commit(&mut self, commit: &Commit) -> Result<(), EventError> {
        let topic = self.registry.topic(&commit.topic)?;
        let slot = (commit.topic.clone(), commit.partition);
        self.groups.lock().check_commit(
            &commit.group,
            &commit.member,
            commit.generation,
            &slot,
            self.now_ms,
        )?;
        let end = self.state(&topic, commit.partition)?.next_offset;
        if commit.next_offset > end {
            return Err(EventError::Invalid(format!(
                "commit of offset {} in {:?}/{}, which ends at {end}",
                commit.next_offset, commit.topic, commit.partition
            )));
        }
        self.wrote = true;
        self.committed
            .insert(
                (commit.group.as_str(), topic.id, commit.partition),
                commit.next_offset,
            )
            .map_err(storage)?;
        Ok(())
    }

    fn ensure_topic(
        &mut self,
        name: &str,
        partitions: u32,
        retention_ms: i64,
    ) -> Result<(), EventError> {
        let created = self
            .changes
            .created
            .get(name)
            .map(|topic| (topic.id, topic.partition_count(), topic.retention_ms()));
        let existing = self.registry.topic(name).ok();
        let known = created.or_else(|| {
            let topic = existing.as_ref()?;
            Some((topic.id, topic.partition_count(), topic.retention_ms()))
        });
        if let Some((_, has, _)) = known
            && partitions < has
        {
            return Err(EventError::Invalid(format!(
                "topic {name:?} has {has} partitions and cannot go down to {partitions}"
            )));
        }
        if known.is_some_and(|(_, has, kept_ms)| has == partitions && kept_ms == retention_ms) {
            return Ok(());
        }
        self.wrote = true;
        let id = match known {
            Some((id, ..)) => id,
            None => self.next_topic_id()?,
        };
        let mut topics = self.transaction.open_table(TOPICS).map_err(storage)?;
        topics
            .insert(name, (id, partitions, retention_ms))
            .map_err(storage)?;
        match (self.changes.created.get(name), existing) {
            (Some(topic), _) => topic.reshape(partitions, retention_ms),
            (None, Some(topic)) => self
                .changes
                .reshaped
                .push((topic, partitions, retention_ms)),
            (None, None) => {
                let topic = Topic::new(id, name.to_owned(), retention_ms, Vec::new());
                topic.reshape(partitions, retention_ms);
                self.changes.created.insert(name.to_owned(), topic);
            }
        }
        Ok(())
    }

    fn next_topic_id(&mut self) -> Result<u32, EventError> {
        let mut meta = self.transaction.open_table(META).map_err(storage)?;
        let next = meta
            .get(NEXT_TOPIC_ID)
            .map_err(storage)?
            .map_or(0, |id| id.value());
        meta.insert(NEXT_TOPIC_ID, next + 1).map_err(storage)?;
        u32::try_from(next).map_err(|_| EventError::Corrupt("topic ids are used up".to_owned()))
    }

    /// Removes records whose retention has ended, oldest first, at most `records_max`.
    fn sweep(&mut self, records_max: u64) -> Result<Swept, EventError> {
        let mut left = records_max;
        for topic in self.registry.all() {
            let cutoff_ms = self.now_ms.saturating_sub(topic.retention_ms());
            for partition in 0..topic.partition_count() {
                let mut state = self.state(&topic, partition)?;
                let expired = self.expired(topic.id, partition, state, cutoff_ms, left)?;
                if expired == 0 {
                    continue;
                }
                for offset in state.first_offset..state.first_offset + expired {
                    self.records
                        .remove((topic.id, partition, offset))
                        .map_err(storage)?;
                }
                self.wrote = true;
                left -= expired;
                state.first_offset += expired;
                self.changes
                    .partitions
                    .insert((topic.id, partition), (Arc::clone(&topic), state));
                if left == 0 {
                    return Ok(Swept {
                        removed: records_max,
                        more: true,
                    });
                }
            }
        }
        Ok(Swept {
            removed: records_max - left,
            more: false,
        })
    }

    fn expired(
        &self,
        topic_id: u32,
        partition: u32,
        state: PartitionState,
        cutoff_ms: i64,
        records_max: u64,
    ) -> Result<u64, EventError> {
        let end = state
            .next_offset
            .min(state.first_offset.saturating_add(records_max));
        let range = (topic_id, partition, state.first_offset)..(topic_id, partition, end);
        let mut count = 0;
        for entry in self.records.range(range).map_err(storage)? {
            let (_, stored) = entry.map_err(storage)?;
            if timestamp_of(stored.value())? >= cutoff_ms {
                break;
            }
            count += 1;
        }
        Ok(count)
    }

    /// The partition's state as this batch leaves it so far.
    fn state(&self, topic: &Arc<Topic>, partition: u32) -> Result<PartitionState, EventError> {
        match self.changes.partitions.get(&(topic.id, partition)) {
            Some((_, state)) => Ok(*state),
            None => topic.partition(partition),
        }
    }
}

/// Tells what is one call's own fault from what fails the whole batch.
#[allow(clippy::type_complexity)]
fn refusal<T>(result: Result<T, EventError>) -> Result<Result<T, EventError>, EventError> {
    match result {
        Err(error @ (EventError::Unavailable(_) | EventError::Corrupt(_))) => Err(error),
        other => Ok(other),
    }
}
