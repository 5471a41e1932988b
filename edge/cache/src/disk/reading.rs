//! Reads of the tier: within their deadline, counted, and looked at before they are believed.

use std::ops::Range;

use super::head;
use super::medium::{Loaded, MediumError, RecordStore, Trouble};
use super::metrics::Read;
use super::queue::{Job, Work};
use super::record::RecordKey;
use super::tier::{Shared, chunk_keys, whole_ms};
use crate::disk_tier::{DiskError, DiskRecord, Examined};
use crate::key::KeyHash;

impl Shared {
    /// A read within its deadline, counted; of a part, if that is all that is wanted.
    pub(super) async fn read(
        &self,
        key: RecordKey,
        within: Option<Range<usize>>,
    ) -> Result<Option<Loaded>, DiskError> {
        let Some(store) = self.live() else {
            return Err(DiskError::Degraded);
        };
        if !store.contains(key) {
            self.metrics.read(Read::Miss);
            return Ok(None);
        }
        let load = async {
            match within {
                Some(within) => store.load_part(key, within).await,
                None => store.load(key).await,
            }
        };
        match tokio::time::timeout(self.read_timeout, load).await {
            Ok(Ok(found)) => {
                self.health.lock().read_answered();
                self.metrics.read(match found {
                    Some(_) => Read::Hit,
                    None => Read::Damaged,
                });
                Ok(found)
            }
            Ok(Err(error)) => {
                self.metrics.read(Read::Failed);
                let is_enough = self.health.lock().read_failed();
                if is_enough {
                    self.degrade(error.trouble, error.to_string());
                }
                Err(self.failed(error))
            }
            Err(_) => {
                self.metrics.read(Read::TooSlow);
                let deadline_ms = whole_ms(self.read_timeout);
                let is_enough = self.health.lock().read_too_slow();
                if is_enough {
                    self.degrade(
                        Trouble::Slow,
                        format!("reads took longer than {deadline_ms} ms"),
                    );
                }
                Err(DiskError::TooSlow { deadline_ms })
            }
        }
    }

    /// What a slot's record says, unless it was taken away since it was read.
    pub(super) fn record_of(
        &self,
        slot: KeyHash,
        store: &dyn RecordStore,
        loaded: &Loaded,
    ) -> Option<DiskRecord> {
        let key = RecordKey::Slot(slot.0);
        if self.queue.hides(slot) || !store.contains(key) {
            return None;
        }
        let record = head::decode(&loaded.content)
            .ok()
            .filter(|record| match record {
                DiskRecord::Head(head) => chunk_keys(head).all(|chunk| store.contains(chunk)),
                DiskRecord::Rules { .. } => true,
            });
        match record {
            Some(_) => self.keep(key, loaded),
            None => self.metrics.read(Read::Damaged),
        }
        record
    }

    /// What a slot's record says, also when its chunks have begun to leave, and how many of them are there. Nothing is kept
    /// longer for it.
    pub(super) fn examined(
        &self,
        slot: KeyHash,
        store: &dyn RecordStore,
        loaded: &Loaded,
    ) -> Option<Examined> {
        if self.queue.hides(slot) || !store.contains(RecordKey::Slot(slot.0)) {
            return None;
        }
        let Ok(record) = head::decode(&loaded.content) else {
            self.metrics.read(Read::Damaged);
            return None;
        };
        let mut examined = Examined {
            record,
            chunks: 0,
            chunks_total: 0,
            bytes: 0,
        };
        if let DiskRecord::Head(head) = &examined.record {
            examined.bytes = head.body.as_ref().map_or(0, |body| body.len() as u64);
            for (index, chunk) in chunk_keys(head).enumerate() {
                examined.chunks_total += 1;
                if store.contains(chunk) {
                    examined.chunks += 1;
                    examined.bytes += head::chunk_len(head, index).unwrap_or(0) as u64;
                }
            }
        }
        Some(examined)
    }

    /// Sees to it that a record that was just read does not leave with the oldest.
    pub(super) fn keep(&self, key: RecordKey, loaded: &Loaded) {
        if loaded.is_leaving {
            let content = loaded.content.clone();
            let bytes = content.len() as u64;
            // Where there is no room for it, it leaves.
            let _ = self
                .queue
                .push(Job::new(Work::Keep { key, content }, bytes));
        }
    }

    fn failed(&self, error: MediumError) -> DiskError {
        DiskError::Failed {
            path: error.path,
            reason: error.reason,
        }
    }
}
