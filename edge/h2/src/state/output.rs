//! What is to be written, in its order.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf as _, Bytes, BytesMut};

/// Data up to this many bytes are copied: cheaper than another slice for the system.
const COPIED_BYTES_MAX: usize = 4 << 10;
/// Memory that is kept for the next frames.
const KEPT_BYTES_MAX: usize = 16 << 10;

#[derive(Debug)]
enum Piece {
    /// So many of the copied bytes.
    Copied(usize),
    Shared(Bytes),
}

/// Heads of frames and what else is small in one buffer, large data as they are.
#[derive(Debug, Default)]
pub(crate) struct Output {
    copied: BytesMut,
    pieces: VecDeque<Piece>,
    length: usize,
    /// What was copied since all was written last.
    copied_bytes: usize,
}

impl Output {
    pub(crate) const fn len(&self) -> usize {
        self.length
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Has `write` append to the buffer.
    pub(super) fn put(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let before = self.copied.len();
        write(&mut self.copied);
        let bytes = self.copied.len().saturating_sub(before);
        self.length += bytes;
        self.copied_bytes += bytes;
        match self.pieces.back_mut() {
            Some(Piece::Copied(length)) => *length += bytes,
            _ => self.pieces.push_back(Piece::Copied(bytes)),
        }
    }

    pub(super) fn data(&mut self, bytes: Bytes) {
        if bytes.len() <= COPIED_BYTES_MAX {
            return self.put(|out| out.extend_from_slice(&bytes));
        }
        self.length += bytes.len();
        self.pieces.push_back(Piece::Shared(bytes));
    }

    /// The first of it; how many slices there are.
    pub(crate) fn slices<'s>(&'s self, slices: &mut [IoSlice<'s>]) -> usize {
        let mut copied: &[u8] = &self.copied;
        let mut count = 0;
        for (place, piece) in slices.iter_mut().zip(&self.pieces) {
            *place = IoSlice::new(match piece {
                Piece::Shared(bytes) => bytes,
                Piece::Copied(length) => {
                    let (part, rest) = copied.split_at_checked(*length).unwrap_or((copied, &[]));
                    copied = rest;
                    part
                }
            });
            count += 1;
        }
        count
    }

    /// So much of it has been written.
    pub(crate) fn advance(&mut self, mut bytes: usize) {
        self.length = self.length.saturating_sub(bytes);
        while bytes > 0 {
            let Some(piece) = self.pieces.front_mut() else {
                return;
            };
            let left = match piece {
                Piece::Copied(length) => {
                    let taken = bytes.min(*length);
                    self.copied.advance(taken);
                    *length -= taken;
                    bytes -= taken;
                    *length
                }
                Piece::Shared(data) => {
                    let taken = bytes.min(data.len());
                    data.advance(taken);
                    bytes -= taken;
                    data.len()
                }
            };
            if left == 0 {
                self.pieces.pop_front();
            }
        }
        if self.length == 0 {
            self.pieces.clear();
            self.copied.clear();
            if self.copied_bytes > KEPT_BYTES_MAX {
                self.copied = BytesMut::new();
            }
            self.copied_bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_is_written_in_its_order_however_much_at_a_time() {
        for step in [1, 3, 100, 5_000, 1 << 20] {
            let mut output = Output::default();
            let mut wanted = Vec::new();
            for (round, length) in [10, 5_000, 1, 0, 4_096, 4_097, 9_000]
                .into_iter()
                .enumerate()
            {
                let data: Bytes = (0..length).map(|at| (at * 7 + round) as u8).collect();
                output.put(|out| out.extend_from_slice(b"head"));
                output.data(data.clone());
                wanted.extend_from_slice(b"head");
                wanted.extend_from_slice(&data);
            }
            assert_eq!(output.len(), wanted.len());
            let mut written = Vec::new();
            while !output.is_empty() {
                let mut slices = [IoSlice::new(b""); 3];
                let count = output.slices(&mut slices);
                let whole: Vec<u8> = slices[..count]
                    .iter()
                    .flat_map(|slice| slice.to_vec())
                    .collect();
                let part = &whole[..step.min(whole.len())];
                written.extend_from_slice(part);
                output.advance(part.len());
            }
            assert!(written == wanted, "{step}");
        }
    }
}
