//! An answer on its way out: what was declared, what has gone, what waits to go with the next bytes.

use std::io::IoSlice;

use bytes::{Bytes, BytesMut};
use mcsp_edge_mapped::Parts;

use crate::answer::lines::put_hexadecimal;
use crate::error::SendError;
use crate::wire::Wire;

/// Chunks in one write, beside what stands before and after them.
const CHUNKS_MAX: usize = 16;

/// Head and body that fit in this many bytes together are copied into one slice: cheaper for the system than two.
const COPIED_BYTES_MAX: usize = 2 << 10;

/// The same where a stream takes one slice at a time: one write, one TLS record.
const COPIED_BYTES_MAX_SINGLE: usize = 16 << 10;

/// How the body's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Known(u64),
    Chunked,
    UntilClose,
    /// There is no body: what is given is not sent.
    Dropped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Awaited,
    Open(Extent),
    Done,
    Failed,
}

#[derive(Debug)]
pub(crate) struct Output {
    state: State,
    /// The head, or a chunk's size line, that goes out before the next data.
    before: BytesMut,
    body_bytes: u64,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Awaited,
            before: BytesMut::new(),
            body_bytes: 0,
        }
    }

    pub(crate) const fn is_begun(&self) -> bool {
        !matches!(self.state, State::Awaited)
    }

    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    pub(crate) const fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// The memory of the head, to be used again.
    pub(crate) fn into_memory(self) -> BytesMut {
        self.before
    }

    pub(crate) fn begin(&mut self, head: BytesMut, extent: Extent) {
        self.before = head;
        self.state = State::Open(extent);
    }

    /// Sends an interim head.
    pub(crate) async fn interim(&mut self, wire: &mut Wire, head: &[u8]) -> Result<(), SendError> {
        self.state = State::Failed;
        wire.write(&mut [IoSlice::new(head)], true).await?;
        self.state = State::Awaited;
        Ok(())
    }

    /// Sends data, with the head before it if that waits.
    pub(crate) async fn put(
        &mut self,
        wire: &mut Wire,
        chunks: &[Bytes],
        flushes: bool,
    ) -> Result<(), SendError> {
        let State::Open(extent) = self.state else {
            return Err(SendError::Order("data"));
        };
        let bytes: u64 = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        if extent == Extent::Dropped || bytes == 0 {
            return Ok(());
        }
        // Until all is well again: a future that is dropped half way leaves the stream in the middle of something.
        self.state = State::Failed;
        let left = match extent {
            Extent::Known(left) => {
                Extent::Known(left.checked_sub(bytes).ok_or(SendError::Length {
                    declared: self.body_bytes + left,
                    given: self.body_bytes + bytes,
                })?)
            }
            extent => extent,
        };
        let after: &[u8] = if extent == Extent::Chunked {
            put_hexadecimal(&mut self.before, bytes);
            self.before.extend_from_slice(b"\r\n");
            b"\r\n"
        } else {
            b""
        };
        self.send(wire, chunks, after, flushes).await?;
        self.body_bytes += bytes;
        self.state = State::Open(left);
        Ok(())
    }

    /// Sends parts as they lie, with the head before them if that waits. Returns how many bytes went out: fewer than all when the
    /// next one is not to be had so, none where there is no other way than [`put`](Self::put).
    pub(crate) async fn put_parts(
        &mut self,
        wire: &mut Wire,
        parts: &Parts,
    ) -> Result<u64, SendError> {
        let State::Open(extent) = self.state else {
            return Err(SendError::Order("data"));
        };
        let Extent::Known(left) = extent else {
            return Ok(0);
        };
        if left < parts.bytes() {
            return Err(SendError::Length {
                declared: self.body_bytes + left,
                given: self.body_bytes + parts.bytes(),
            });
        }
        self.state = State::Failed;
        let bytes = wire.write_parts(&mut self.before, parts).await?;
        self.body_bytes += bytes;
        self.state = State::Open(Extent::Known(left - bytes));
        Ok(bytes)
    }

    /// Sends what waits: a head without its body's beginning.
    pub(crate) async fn flush(&mut self, wire: &mut Wire) -> Result<(), SendError> {
        let State::Open(extent) = self.state else {
            return Err(SendError::Order("a flush"));
        };
        self.state = State::Failed;
        self.send(wire, &[], b"", true).await?;
        self.state = State::Open(extent);
        Ok(())
    }

    /// Ends the answer.
    pub(crate) async fn finish(&mut self, wire: &mut Wire) -> Result<(), SendError> {
        let State::Open(extent) = self.state else {
            return Err(SendError::Order("an end"));
        };
        self.state = State::Failed;
        let after: &[u8] = match extent {
            Extent::Known(0) | Extent::UntilClose | Extent::Dropped => b"",
            Extent::Chunked => b"0\r\n\r\n",
            Extent::Known(left) => {
                return Err(SendError::Length {
                    declared: self.body_bytes + left,
                    given: self.body_bytes,
                });
            }
        };
        self.send(wire, &[], after, true).await?;
        self.state = State::Done;
        Ok(())
    }

    async fn send(
        &mut self,
        wire: &mut Wire,
        chunks: &[Bytes],
        after: &[u8],
        flushes: bool,
    ) -> Result<(), SendError> {
        let bytes: usize = chunks.iter().map(Bytes::len).sum();
        let copied_bytes_max = if wire.is_vectored() {
            COPIED_BYTES_MAX
        } else {
            COPIED_BYTES_MAX_SINGLE
        };
        if self.before.len() + bytes + after.len() <= copied_bytes_max {
            for chunk in chunks {
                self.before.extend_from_slice(chunk);
            }
            self.before.extend_from_slice(after);
            wire.write(&mut [IoSlice::new(&self.before)], flushes)
                .await?;
            self.before.clear();
            return Ok(());
        }
        let mut batches = chunks.chunks(CHUNKS_MAX);
        let mut batch = batches.next().unwrap_or_default();
        loop {
            let next = batches.next();
            let mut slices = [IoSlice::new(b""); CHUNKS_MAX + 2];
            slices[0] = IoSlice::new(&self.before);
            for (slice, chunk) in slices[1..].iter_mut().zip(batch) {
                *slice = IoSlice::new(chunk);
            }
            let mut count = batch.len() + 1;
            if next.is_none() && !after.is_empty() {
                slices[count] = IoSlice::new(after);
                count += 1;
            }
            wire.write(&mut slices[..count], flushes && next.is_none())
                .await?;
            self.before.clear();
            match next {
                Some(next) => batch = next,
                None => return Ok(()),
            }
        }
    }
}
