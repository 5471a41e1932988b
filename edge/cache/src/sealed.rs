//! A whole body, which is read without a lock.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::body::CHUNK_BYTES;

/// A whole body.
#[derive(Debug)]
pub(crate) struct Sealed {
    chunks: Box<[Bytes]>,
    /// Where each chunk begins; empty when all but the last are of [`CHUNK_BYTES`].
    starts: Box<[u64]>,
    len: u64,
}

impl Sealed {
    /// A body of these runs, which are all of its `len` bytes.
    pub(crate) fn new(runs: BTreeMap<u64, Bytes>, len: u64) -> Self {
        let starts: Box<[u64]> = runs.keys().copied().collect();
        let is_regular = starts
            .iter()
            .enumerate()
            .all(|(index, start)| *start == index as u64 * CHUNK_BYTES);
        Self {
            chunks: runs.into_values().collect(),
            starts: if is_regular { Box::default() } else { starts },
            len,
        }
    }

    /// A body of one run, which is no longer than a chunk.
    pub(crate) fn one(run: Bytes) -> Self {
        Self {
            len: run.len() as u64,
            chunks: Box::new([run]),
            starts: Box::default(),
        }
    }

    /// Bytes in all.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn chunks(&self) -> &[Bytes] {
        &self.chunks
    }

    /// Can chunk `n` be found at `n` times [`CHUNK_BYTES`]?
    pub(crate) fn is_regular(&self) -> bool {
        self.starts.is_empty()
    }

    /// What one chunk holds from `position` to before `end`.
    pub(crate) fn slice_at(&self, position: u64, end: u64) -> Option<Bytes> {
        let end = end.min(self.len);
        if position >= end {
            return None;
        }
        let (index, start) = if self.is_regular() {
            let index = position / CHUNK_BYTES;
            (usize::try_from(index).ok()?, index * CHUNK_BYTES)
        } else {
            let index = self.starts.partition_point(|start| *start <= position) - 1;
            (index, *self.starts.get(index)?)
        };
        slice(self.chunks.get(index)?, start, position, end)
    }
}

/// The part of a run that begins at `start` from `position` to before `end`.
pub(crate) fn slice(run: &Bytes, start: u64, position: u64, end: u64) -> Option<Bytes> {
    // Both offsets lie within one run, so they fit a usize.
    let from = usize::try_from(position.checked_sub(start)?).ok()?;
    let to = usize::try_from(end - start)
        .unwrap_or(usize::MAX)
        .min(run.len());
    if from >= to {
        return None;
    }
    if from == 0 && to == run.len() {
        return Some(run.clone());
    }
    Some(run.slice(from..to))
}
