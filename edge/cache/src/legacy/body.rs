//! A body as a list of shared chunks.

use bytes::{Bytes, BytesMut};

/// Chunks in order; slices of it share the chunks' memory.
#[derive(Debug, Default)]
pub(crate) struct ChunkList {
    chunks: Vec<Bytes>,
    /// Where each chunk begins in the body.
    starts: Vec<u64>,
    len: u64,
}

impl ChunkList {
    /// Bytes in all.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Appends a chunk; an empty one changes nothing.
    pub(crate) fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        self.starts.push(self.len);
        self.len += chunk.len() as u64;
        self.chunks.push(chunk);
    }

    /// What one chunk holds from `position` up to but not including `end`; nothing when `position` is past what is
    /// here or past `end`.
    pub(crate) fn slice_at(&self, position: u64, end: u64) -> Option<Bytes> {
        let end = end.min(self.len);
        if position >= end {
            return None;
        }
        let index = self
            .starts
            .partition_point(|start| *start <= position)
            .checked_sub(1)?;
        let chunk = self.chunks.get(index)?;
        let start = *self.starts.get(index)?;
        // Both offsets lie inside one chunk, so they fit a usize.
        let from = usize::try_from(position - start).ok()?;
        let to = usize::try_from(end - start)
            .unwrap_or(usize::MAX)
            .min(chunk.len());
        Some(chunk.slice(from..to))
    }

    /// The same body in chunks of `chunk_bytes` (the last one shorter): few large writes for each later hit, at the
    /// price of one copy when an object is admitted. It also lets go of read buffers that the chunks were slices of.
    pub(crate) fn coalesced(&self, chunk_bytes: usize) -> Self {
        let mut list = Self::default();
        let mut pending = BytesMut::new();
        let mut left = usize::try_from(self.len).unwrap_or(usize::MAX);
        for chunk in &self.chunks {
            let mut rest = chunk.as_ref();
            while !rest.is_empty() {
                if pending.capacity() == 0 {
                    pending.reserve(chunk_bytes.min(left));
                }
                let take = rest.len().min(chunk_bytes - pending.len());
                pending.extend_from_slice(&rest[..take]);
                rest = &rest[take..];
                left -= take;
                if pending.len() == chunk_bytes {
                    list.push(std::mem::take(&mut pending).freeze());
                }
            }
        }
        list.push(pending.freeze());
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &ChunkList, start: u64, end: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let mut position = start;
        while let Some(piece) = list.slice_at(position, end) {
            position += piece.len() as u64;
            out.extend_from_slice(&piece);
        }
        out
    }

    proptest::proptest! {
        #[test]
        fn any_cut_reads_back_any_range(
            chunks in proptest::collection::vec(proptest::collection::vec(0u8..=255, 0..40), 0..12),
            chunk_bytes in 1usize..50,
            start in 0u64..200,
            length in 0u64..200,
        ) {
            let whole: Vec<u8> = chunks.concat();
            let mut list = ChunkList::default();
            for chunk in chunks {
                list.push(Bytes::from(chunk));
            }
            let coalesced = list.coalesced(chunk_bytes);
            let from = usize::try_from(start).unwrap().min(whole.len());
            let to = usize::try_from(start + length).unwrap().min(whole.len());
            for list in [&list, &coalesced] {
                proptest::prop_assert_eq!(list.len(), whole.len() as u64);
                proptest::prop_assert_eq!(read(list, start, start + length), &whole[from..to.max(from)]);
            }
        }
    }
}
