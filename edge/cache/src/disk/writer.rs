//! The task that writes: chunks, then a look whether they are there, then records of slots, then a look again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::head;
use super::medium::{RecordStore, Trouble, settle};
use super::metrics::Written;
use super::queue::{Job, Work};
use super::record::{RECORD_BYTES_MAX, RecordKey};
use super::tier::{Shared, chunk_keys, whole_ms};
use crate::disk_tier::DiskRecord;

/// Bytes that are written between two looks.
const BATCH_BYTES: u64 = 4 << 20;
/// Each record is padded to a page, so many small ones are more than their bytes.
const PAGE_BYTES: u64 = 4096;

pub(super) fn spawn(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let mut closing = shared.closing.subscribe();
        loop {
            let batch = tokio::select! {
                _ = closing.wait_for(|closing| *closing) => return,
                batch = shared.queue.next_batch(BATCH_BYTES) => batch,
            };
            let number = shared.batch.fetch_add(1, Ordering::AcqRel) + 1;
            for outcome in write(&shared, &batch).await {
                shared.metrics.written(outcome);
            }
            shared.queue.finish(&batch, number);
            shared.measure_queue();
        }
    });
}

/// Writes the jobs, and says how each ended.
async fn write(shared: &Shared, batch: &[Arc<Job>]) -> Vec<Written> {
    let mut outcomes = vec![Written::Lost; batch.len()];
    let Some(store) = shared.live() else {
        outcomes.fill(Written::Degraded);
        return outcomes;
    };
    let mut writing = Writing {
        shared,
        store: &*store,
        unsettled_bytes: 0,
    };
    if writing.chunks(batch).await && writing.slots(batch, &mut outcomes).await {
        drop(store);
        judge(shared, &outcomes).await;
    }
    outcomes
}

struct Writing<'a> {
    shared: &'a Shared,
    store: &'a dyn RecordStore,
    unsettled_bytes: u64,
}

impl Writing<'_> {
    /// Writes every chunk; false when the disk is left alone from here on.
    async fn chunks(&mut self, batch: &[Arc<Job>]) -> bool {
        for job in batch {
            match &job.work {
                Work::Store {
                    record: DiskRecord::Head(head),
                    chunks,
                    ..
                } => {
                    for (key, chunk) in chunk_keys(head).zip(chunks) {
                        if job.is_superseded() {
                            break;
                        }
                        if !self.make_room(chunk).await {
                            return false;
                        }
                        self.store.put(key, chunk.clone());
                    }
                }
                Work::Keep {
                    key: key @ RecordKey::Chunk { .. },
                    content,
                } if self.store.contains(*key) => {
                    if !self.make_room(content).await {
                        return false;
                    }
                    self.store.put(*key, content.clone());
                }
                Work::Store { .. } | Work::Keep { .. } => {}
            }
        }
        self.settle().await
    }

    /// Writes the slots' records, and notes how each job ended; false when the disk is left alone from here on.
    async fn slots(&mut self, batch: &[Arc<Job>], outcomes: &mut [Written]) -> bool {
        let mut handed_over = Vec::with_capacity(batch.len());
        for (job, outcome) in batch.iter().zip(outcomes.iter_mut()) {
            let Some(record) = self.slot_record(job, outcome).await else {
                continue;
            };
            if !self.make_room(&record.content).await {
                return false;
            }
            let key = record.key;
            let is_handed_over = self.shared.queue.hand_over(job, || {
                // What the slot had would hide that the new record was lost.
                if record.replaces && self.store.contains(key) {
                    self.store.delete(key);
                }
                self.store.put(key, record.content);
            });
            if is_handed_over {
                *outcome = Written::Lost;
                handed_over.push((job, outcome, key, record.replaces));
            } else {
                *outcome = Written::Superseded;
            }
        }
        if !self.settle().await {
            return false;
        }
        for (job, outcome, key, replaces) in handed_over {
            *outcome = match (self.store.contains(key), replaces) {
                (true, true) => Written::Done,
                (true, false) => Written::Kept,
                (false, _) if job.is_superseded() => Written::Superseded,
                (false, _) => Written::Lost,
            };
        }
        true
    }

    /// What is to be written to the job's slot; nothing, and the outcome noted, when there is nothing to write.
    async fn slot_record(&self, job: &Job, outcome: &mut Written) -> Option<SlotRecord> {
        match &job.work {
            Work::Store {
                slot,
                record,
                chunks,
            } => {
                let is_there = match record {
                    DiskRecord::Head(head) => {
                        chunk_keys(head).all(|chunk| self.store.contains(chunk))
                    }
                    DiskRecord::Rules { .. } => true,
                };
                if !is_there {
                    if job.is_superseded() {
                        *outcome = Written::Superseded;
                    } else if chunks.is_empty() {
                        *outcome = Written::Incomplete;
                    }
                    return None;
                }
                let content = head::encode(record);
                if content.len() > RECORD_BYTES_MAX {
                    *outcome = Written::Refused;
                    return None;
                }
                Some(SlotRecord {
                    key: RecordKey::Slot(slot.0),
                    content,
                    replaces: true,
                })
            }
            Work::Keep {
                key: key @ RecordKey::Slot(_),
                content,
            } => {
                // Only what the slot has still: nothing else writes to it while this task does.
                let held = tokio::time::timeout(self.shared.read_timeout, self.store.load(*key));
                let is_held = matches!(held.await, Ok(Ok(Some(held))) if held.content == *content);
                if !is_held {
                    *outcome = Written::Superseded;
                    return None;
                }
                Some(SlotRecord {
                    key: *key,
                    content: content.clone(),
                    replaces: false,
                })
            }
            Work::Keep { .. } => {
                *outcome = Written::Kept;
                None
            }
        }
    }

    /// Sees to it that the storage engine's buffer has room for `content`; false when the disk is left alone from here on.
    async fn make_room(&mut self, content: &Bytes) -> bool {
        let bytes = (content.len() as u64 + PAGE_BYTES).next_multiple_of(PAGE_BYTES);
        if self.unsettled_bytes + bytes > BATCH_BYTES && !self.settle().await {
            return false;
        }
        self.unsettled_bytes += bytes;
        true
    }

    /// Waits until what was put is written or lost; false when that takes too long, or cannot be said, and then the disk is
    /// left alone.
    async fn settle(&mut self) -> bool {
        if self.unsettled_bytes == 0 {
            return true;
        }
        self.unsettled_bytes = 0;
        let timeout = self.shared.write_timeout;
        match tokio::time::timeout(timeout, settle(self.store)).await {
            Ok(Ok(())) => return true,
            Ok(Err(panicked)) => self.shared.degrade(Trouble::Failed, panicked.to_string()),
            Err(_) => self.shared.degrade(
                Trouble::Slow,
                format!(
                    "a batch of writes took longer than {} ms",
                    whole_ms(timeout)
                ),
            ),
        }
        false
    }
}

struct SlotRecord {
    key: RecordKey,
    content: Bytes,
    /// It takes the place of whatever the slot had; otherwise it is what the slot has.
    replaces: bool,
}

/// When writes were lost, finds out whether the disk refuses them.
async fn judge(shared: &Shared, outcomes: &[Written]) {
    if !outcomes.contains(&Written::Lost) {
        shared.health.lock().batch_written();
        return;
    }
    if let Some(store) = shared.live() {
        store.distrust();
    }
    match tokio::time::timeout(shared.write_timeout, shared.medium.probe()).await {
        Ok(Ok(())) => {
            let is_enough = shared.health.lock().batch_lost();
            if is_enough {
                shared.degrade(
                    Trouble::Failed,
                    "the storage engine keeps losing writes".to_owned(),
                );
            }
        }
        Ok(Err(error)) => shared.degrade(error.trouble, error.to_string()),
        Err(_) => shared.degrade(
            Trouble::Slow,
            format!(
                "a probe took longer than {} ms",
                whole_ms(shared.write_timeout)
            ),
        ),
    }
}
