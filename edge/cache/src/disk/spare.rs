//! Memory that chunks are read into, used again for the next: it need be neither zeroed nor paged in, and what a core read into
//! of late is still in its own cache. Each thread takes from, and gives back to, a small heap of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

/// What is kept is of this length, that of a whole chunk: whoever counts the bytes that were asked for counts all there is.
pub(super) const KEPT_BYTES: usize = 256 << 10;
/// Pieces in a heap: some answers have several at once.
const KEPT_MAX: usize = 8;
/// Heaps; further threads share them.
const HEAPS: usize = 16;
/// Bytes that lie idle at most: 32 MiB, and no more than 2 MiB for each thread.
#[cfg(test)]
pub(super) const SPARE_BYTES_MAX: usize = HEAPS * KEPT_MAX * KEPT_BYTES;

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Which heap is this thread's.
    static HEAP: usize = THREADS.fetch_add(1, Ordering::Relaxed) % HEAPS;
}

/// The heaps.
#[derive(Debug, Default)]
pub(super) struct Spare {
    heaps: [Mutex<Vec<Vec<u8>>>; HEAPS],
    kept: AtomicUsize,
}

impl Spare {
    /// Memory of `len` bytes, with anything in them.
    pub(super) fn take(self: &Arc<Self>, len: usize) -> Lent {
        let kept = match len {
            KEPT_BYTES => self.mine().lock().pop(),
            _ => None,
        };
        if kept.is_some() {
            self.kept.fetch_sub(1, Ordering::Relaxed);
        }
        Lent {
            memory: kept.unwrap_or_else(|| vec![0; len]),
            of: Arc::clone(self),
        }
    }

    /// Bytes that lie idle.
    pub(super) fn bytes(&self) -> u64 {
        (self.kept.load(Ordering::Relaxed) * KEPT_BYTES) as u64
    }

    fn keep(&self, memory: Vec<u8>) {
        let mut heap = self.mine().lock();
        if memory.len() == KEPT_BYTES && heap.len() < KEPT_MAX {
            // Before anybody may take it.
            self.kept.fetch_add(1, Ordering::Relaxed);
            heap.push(memory);
        }
    }

    fn mine(&self) -> &Mutex<Vec<Vec<u8>>> {
        // While a thread ends there may be no telling any more.
        let heap = HEAP.try_with(|heap| *heap).unwrap_or(0);
        &self.heaps[heap % HEAPS]
    }
}

/// Memory that is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Lent {
    memory: Vec<u8>,
    of: Arc<Spare>,
}

impl Lent {
    /// As shared bytes; given back when the last of them is dropped.
    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.memory
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.of.keep(std::mem::take(&mut self.memory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_chunks_memory_is_used_again_when_its_last_slice_is_gone() {
        let spare = Arc::<Spare>::default();
        let mut lent = spare.take(KEPT_BYTES);
        lent.bytes_mut().fill(7);
        let at = lent.as_ref().as_ptr();
        let bytes = lent.into_bytes();
        let slice = bytes.slice(5..9);
        drop(bytes);
        assert_eq!(spare.bytes(), 0, "somebody reads it");
        drop(slice);
        assert_eq!(spare.bytes(), KEPT_BYTES as u64);
        let again = spare.take(KEPT_BYTES);
        assert_eq!((again.as_ref().as_ptr(), spare.bytes()), (at, 0));
    }

    #[test]
    fn what_lies_idle_is_bounded_and_of_one_length() {
        let spare = Arc::<Spare>::default();
        for len in [0, 1, KEPT_BYTES - 1, KEPT_BYTES + 1] {
            let lent = spare.take(len);
            assert_eq!(lent.as_ref().len(), len);
        }
        assert_eq!(spare.bytes(), 0);
        let hold_many = || {
            let lent: Vec<_> = (0..2 * KEPT_MAX).map(|_| spare.take(KEPT_BYTES)).collect();
            assert!(lent.iter().all(|lent| lent.as_ref().len() == KEPT_BYTES));
        };
        hold_many();
        assert_eq!(spare.bytes(), (KEPT_MAX * KEPT_BYTES) as u64);
        std::thread::scope(|scope| {
            for _ in 0..3 * HEAPS {
                scope.spawn(hold_many);
            }
        });
        assert!(spare.bytes() <= SPARE_BYTES_MAX as u64);
    }
}
