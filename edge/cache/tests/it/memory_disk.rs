//! A disk tier without a disk: what a restart leaves is what was stored.

use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mcsp_edge_cache::engine::{
    Accepted, DiskError, DiskHead, DiskRecord, DiskState, DiskTier, Examined, KeyHash,
};
use parking_lot::Mutex;

#[derive(Debug, Default)]
struct State {
    records: HashMap<KeyHash, DiskRecord>,
    /// Records that were taken away and not replaced.
    removed: HashMap<KeyHash, DiskRecord>,
    chunks: HashMap<(u128, u32), Bytes>,
    loads: usize,
    record_loads: usize,
    fails: bool,
    drops: bool,
    unsure: bool,
    /// Chunks can be had at once.
    is_warm: bool,
}

#[derive(Debug, Default)]
pub(crate) struct MemoryDisk(Mutex<State>);

impl MemoryDisk {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn chunk_loads(&self) -> usize {
        self.0.lock().loads
    }

    pub(crate) fn record_loads(&self) -> usize {
        self.0.lock().record_loads
    }

    pub(crate) fn fail(&self, fails: bool) {
        self.0.lock().fails = fails;
    }

    pub(crate) fn drop_stores(&self, drops: bool) {
        self.0.lock().drops = drops;
    }

    /// From now on chunks need not be waited for.
    pub(crate) fn be_warm(&self) {
        self.0.lock().is_warm = true;
    }

    /// Cannot say any more that there is certainly nothing.
    pub(crate) fn be_unsure(&self) {
        self.0.lock().unsure = true;
    }

    /// Whatever was taken away and not replaced is there again, as after a loss of power.
    pub(crate) fn lose_removals(&self) {
        let mut state = self.0.lock();
        for (slot, record) in std::mem::take(&mut state.removed) {
            state.records.entry(slot).or_insert(record);
        }
    }

    /// Loses what tells which variants there are, and keeps the variants.
    pub(crate) fn lose_rules(&self) {
        let mut state = self.0.lock();
        state
            .records
            .retain(|_, record| matches!(record, DiskRecord::Head(_)));
    }

    /// Loses every chunk with this index.
    pub(crate) fn lose_chunks(&self, index: u32) {
        self.0.lock().chunks.retain(|(_, held), _| *held != index);
    }

    /// Every body that a record names.
    pub(crate) fn bodies(&self) -> Vec<(DiskHead, Vec<u8>)> {
        let state = self.0.lock();
        let heads = state.records.values().filter_map(|record| match record {
            DiskRecord::Head(head) => Some(head),
            DiskRecord::Rules { .. } => None,
        });
        heads
            .map(|head| {
                let chunks = (0..).map_while(|index| state.chunks.get(&(head.body_id, index)));
                let chunks = chunks.chain(head.body.as_ref());
                ((**head).clone(), chunks.flatten().copied().collect())
            })
            .collect()
    }
}

fn failed() -> DiskError {
    DiskError::Failed {
        path: PathBuf::from("nowhere"),
        reason: "told to".to_owned(),
    }
}

#[async_trait]
impl DiskTier for MemoryDisk {
    fn may_hold(&self, slot: KeyHash) -> bool {
        self.0.lock().records.contains_key(&slot)
    }

    async fn load(&self, slot: KeyHash) -> Result<Option<DiskRecord>, DiskError> {
        // As a disk does, it takes its time.
        tokio::task::yield_now().await;
        let mut state = self.0.lock();
        if state.fails {
            return Err(failed());
        }
        state.record_loads += 1;
        Ok(state.records.get(&slot).cloned())
    }

    async fn examine(&self, slot: KeyHash) -> Result<Option<Examined>, DiskError> {
        tokio::task::yield_now().await;
        let state = self.0.lock();
        if state.fails {
            return Err(failed());
        }
        let Some(record) = state.records.get(&slot).cloned() else {
            return Ok(None);
        };
        let (mut held, mut chunks_total) = (Vec::new(), 0);
        if let DiskRecord::Head(head) = &record {
            held.extend(head.body.clone());
            if head.body.is_none() {
                chunks_total = head.total_len.div_ceil(u64::from(head.chunk_bytes)) as u32;
            }
            let index = 0..chunks_total;
            held.extend(
                index.filter_map(|index| state.chunks.get(&(head.body_id, index)).cloned()),
            );
        }
        Ok(Some(Examined {
            record,
            chunks: chunks_total.min(held.len() as u32),
            chunks_total,
            bytes: held.iter().map(|bytes| bytes.len() as u64).sum(),
        }))
    }

    fn load_chunk_now(&self, body_id: u128, index: u32, within: Range<u32>) -> Option<Bytes> {
        let mut state = self.0.lock();
        if !state.is_warm {
            return None;
        }
        state.loads += 1;
        let within = within.start as usize..within.end as usize;
        let chunk = state.chunks.get(&(body_id, index))?;
        chunk.get(within).map(Bytes::copy_from_slice)
    }

    async fn load_chunk(
        &self,
        body_id: u128,
        index: u32,
        within: Range<u32>,
    ) -> Result<Option<Bytes>, DiskError> {
        tokio::task::yield_now().await;
        let mut state = self.0.lock();
        if state.fails {
            return Err(failed());
        }
        state.loads += 1;
        let within = within.start as usize..within.end as usize;
        let chunk = state.chunks.get(&(body_id, index));
        Ok(chunk.and_then(|chunk| chunk.get(within).map(Bytes::copy_from_slice)))
    }

    fn store(&self, slot: KeyHash, head: DiskHead, chunks: Vec<Bytes>) -> Accepted {
        let mut state = self.0.lock();
        if state.fails || state.drops {
            return Accepted::Dropped;
        }
        for (index, chunk) in (0..).zip(chunks) {
            // A copy, since a disk does not hold memory.
            let chunk = Bytes::copy_from_slice(&chunk);
            state.chunks.insert((head.body_id, index), chunk);
        }
        state.removed.remove(&slot);
        state.records.insert(slot, DiskRecord::Head(Box::new(head)));
        Accepted::Queued
    }

    fn store_record(&self, slot: KeyHash, record: DiskRecord) -> Accepted {
        let mut state = self.0.lock();
        if state.fails {
            return Accepted::Dropped;
        }
        state.removed.remove(&slot);
        state.records.insert(slot, record);
        Accepted::Queued
    }

    fn remove(&self, slot: KeyHash) -> bool {
        let mut state = self.0.lock();
        if let Some(record) = state.records.remove(&slot) {
            state.removed.insert(slot, record);
        }
        state.unsure || state.removed.contains_key(&slot)
    }

    fn state(&self) -> DiskState {
        DiskState::Healthy
    }

    fn bytes(&self) -> u64 {
        let state = self.0.lock();
        state.chunks.values().map(|chunk| chunk.len() as u64).sum()
    }

    async fn close(&self) {}
}
