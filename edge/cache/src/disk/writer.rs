//! The task that writes: chunks, then a look whether they are there, then heads, then a look again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::head;
use super::medium::{RecordStore, Trouble};
use super::metrics::Written;
use super::queue::Job;
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
    let Some(store) = shared.live() else {
        return vec![Written::Degraded; batch.len()];
    };
    let mut outcomes = vec![Written::Lost; batch.len()];
    if !write_chunks(shared, &*store, batch).await {
        return outcomes;
    }
    let mut is_handed_over = vec![false; batch.len()];
    let mut heads_bytes = 0;
    for ((job, outcome), is_handed_over) in batch.iter().zip(&mut outcomes).zip(&mut is_handed_over)
    {
        let is_there = match &job.record {
            DiskRecord::Head(head) => chunk_keys(head).all(|chunk| store.contains(chunk)),
            DiskRecord::Rules { .. } => true,
        };
        if !is_there {
            continue;
        }
        let content = head::encode(&job.record);
        if content.len() > RECORD_BYTES_MAX {
            *outcome = Written::Refused;
            continue;
        }
        heads_bytes += padded(&content);
        if heads_bytes > BATCH_BYTES {
            heads_bytes = padded(&content);
            if !settle(shared, &*store).await {
                return outcomes;
            }
        }
        let key = RecordKey::Slot(job.slot.0);
        *is_handed_over = shared.queue.hand_over(job, || {
            // What the slot had would hide that the new record was lost.
            if store.contains(key) {
                store.delete(key);
            }
            store.put(key, content);
        });
        if !*is_handed_over {
            *outcome = Written::Superseded;
        }
    }
    if !settle(shared, &*store).await {
        return outcomes;
    }
    for ((job, outcome), is_handed_over) in batch.iter().zip(&mut outcomes).zip(is_handed_over) {
        if is_handed_over && store.contains(RecordKey::Slot(job.slot.0)) {
            *outcome = Written::Done;
        } else if job.is_superseded() {
            *outcome = Written::Superseded;
        }
    }
    drop(store);
    judge(shared, &outcomes).await;
    outcomes
}

/// Writes every chunk that is not there yet; false when the disk is too slow to go on.
async fn write_chunks(shared: &Shared, store: &dyn RecordStore, batch: &[Arc<Job>]) -> bool {
    let mut bytes = 0;
    for job in batch {
        let DiskRecord::Head(head) = &job.record else {
            continue;
        };
        for (key, chunk) in chunk_keys(head).zip(&job.chunks) {
            if job.is_superseded() {
                break;
            }
            if store.contains(key) {
                continue;
            }
            bytes += padded(chunk);
            if bytes > BATCH_BYTES {
                bytes = padded(chunk);
                if !settle(shared, store).await {
                    return false;
                }
            }
            store.put(key, chunk.clone());
        }
    }
    bytes == 0 || settle(shared, store).await
}

fn padded(content: &Bytes) -> u64 {
    (content.len() as u64 + PAGE_BYTES).next_multiple_of(PAGE_BYTES)
}

/// Waits until what was put is written or lost; false when that takes too long, and then the disk is slow.
async fn settle(shared: &Shared, store: &dyn RecordStore) -> bool {
    let is_settled = tokio::time::timeout(shared.write_timeout, store.settle())
        .await
        .is_ok();
    if !is_settled {
        let timeout_ms = whole_ms(shared.write_timeout);
        shared.degrade(
            Trouble::Slow,
            format!("a batch of writes took longer than {timeout_ms} ms"),
        );
    }
    is_settled
}

/// When writes were lost, finds out whether the disk refuses them.
async fn judge(shared: &Shared, outcomes: &[Written]) {
    let lost = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Written::Lost))
        .count();
    if lost == 0 {
        shared.health.lock().batch_written();
        return;
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
