//! Which blocks are in the address space, so that what lies in them can be sent from there.
//!
//! A block comes there when something of it is first to be sent so, and leaves with its place or when others have taken up the
//! room. What it costs beside addresses is page tables: 8 bytes for each page that was sent of it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mcsp_edge_mapped::MappedFile;
use parking_lot::Mutex;

/// Bytes of blocks that are mapped at once, but for the one that was mapped last: 32 MiB of page tables at the most.
const MAPPED_BYTES_MAX: u64 = 16 << 30;

/// The blocks, the one that was mapped first at the front.
#[derive(Debug, Default)]
pub(super) struct Mapped {
    files: Mutex<Files>,
    has_refused: AtomicBool,
}

#[derive(Debug, Default)]
struct Files {
    order: VecDeque<(Arc<MappedFile>, u64)>,
    bytes: u64,
}

impl Mapped {
    /// Maps a block, if that can be done.
    pub(super) fn map(&self, file: &Arc<MappedFile>) {
        self.map_within(file, MAPPED_BYTES_MAX);
    }

    fn map_within(&self, file: &Arc<MappedFile>, bytes_max: u64) {
        match file.map() {
            Ok(false) => {}
            Ok(true) => {
                let bytes = file.file().metadata().map_or(0, |found| found.len());
                self.files.lock().add(file, bytes, bytes_max);
            }
            Err(error) => {
                if !self.has_refused.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, "a block of the disk cache cannot be mapped: it is copied before it is sent");
                }
            }
        }
    }
}

impl Files {
    fn add(&mut self, file: &Arc<MappedFile>, bytes: u64, bytes_max: u64) {
        self.order.retain(|(held, bytes)| {
            // One that was given up, or taken out by somebody who came between.
            let is_mapped = held.is_mapped() && !Arc::ptr_eq(held, file);
            self.bytes -= if is_mapped { 0 } else { *bytes };
            is_mapped
        });
        // One that is just being sent of has its turn again later.
        for _ in 0..self.order.len() {
            if self.bytes + bytes <= bytes_max {
                break;
            }
            let Some((oldest, its_bytes)) = self.order.pop_front() else {
                break;
            };
            if oldest.unmap() {
                self.bytes -= its_bytes;
            } else {
                self.order.push_back((oldest, its_bytes));
            }
        }
        self.bytes += bytes;
        self.order.push_back((Arc::clone(file), bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Arc<MappedFile> {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1000).unwrap();
        Arc::new(MappedFile::new(file))
    }

    #[test]
    fn what_was_mapped_first_leaves_for_what_is_needed_now() {
        let mapped = Mapped::default();
        let files: Vec<_> = (0..5).map(|_| file()).collect();
        let are_mapped = || -> Vec<bool> { files.iter().map(|file| file.is_mapped()).collect() };
        for file in &files[..3] {
            mapped.map_within(file, 3000);
            mapped.map_within(file, 3000);
        }
        assert_eq!(are_mapped(), [true, true, true, false, false]);
        mapped.map_within(&files[3], 3000);
        assert_eq!(are_mapped(), [false, true, true, true, false]);
        // What was given up takes no room.
        files[2].give_up();
        mapped.map_within(&files[2], 3000);
        mapped.map_within(&files[4], 3000);
        assert_eq!(are_mapped(), [false, true, false, true, true]);
        mapped.map_within(&files[0], 3000);
        assert_eq!(are_mapped(), [true, false, false, true, true]);
        let files = mapped.files.lock();
        assert_eq!((files.order.len(), files.bytes), (3, 3000));
    }

    #[test]
    fn one_that_cannot_be_mapped_takes_no_room() {
        let mapped = Mapped::default();
        let empty = Arc::new(MappedFile::new(tempfile::tempfile().unwrap()));
        mapped.map(&empty);
        mapped.map(&empty);
        assert!(mapped.has_refused.load(Ordering::Relaxed));
        assert!(!empty.is_mapped() && mapped.files.lock().order.is_empty());
    }
}
