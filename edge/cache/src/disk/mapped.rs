//! Which blocks are in the address space: so that what lies in them can be sent from there, and so that the kernel keeps it in
//! memory. What no process has mapped it gives back first, however often it is read.
//!
//! A block comes there when it was written, when something of it was read from the disk or is first to be sent so, and leaves with
//! its place or when others have taken up the room. What it costs beside addresses is page tables: 8 bytes a page.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use mcsp_edge_mapped::MappedFile;
use parking_lot::Mutex;

/// Bytes of blocks that are mapped at once, but for the one that was mapped last: 32 MiB of page tables at the most.
const MAPPED_BYTES_MAX: u64 = 16 << 30;

/// The blocks, the one that was mapped first at the front.
#[derive(Debug, Default)]
pub(super) struct Mapped {
    files: Mutex<Files>,
    /// There was no room for another when the last one came.
    is_full: AtomicBool,
    refused: AtomicU64,
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

    /// Has the kernel keep what it has in memory of some of a block that was just written. Blocks its thread for a moment.
    pub(super) fn keep_written(&self, file: &Arc<MappedFile>, range: Range<u64>) {
        self.map(file);
        file.populate(range);
    }

    /// The same for what was just read from the disk. No other block leaves the address space for it: where reads go all over a
    /// disk that is much larger, blocks would come and go with each.
    pub(super) fn keep_read(&self, file: &Arc<MappedFile>, range: Range<u64>) {
        if !self.is_full.load(Ordering::Relaxed) {
            self.map(file);
        }
        file.populate(range);
    }

    /// Blocks that could not be mapped.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn map_within(&self, file: &Arc<MappedFile>, bytes_max: u64) {
        match file.map() {
            Ok(false) => {}
            Ok(true) => {
                let bytes = file.file().metadata().map_or(0, |found| found.len());
                let mut files = self.files.lock();
                files.add(file, bytes, bytes_max);
                let is_full = files.bytes + bytes > bytes_max;
                self.is_full.store(is_full, Ordering::Relaxed);
            }
            Err(error) => {
                // Each is asked for once.
                if self.refused.fetch_add(1, Ordering::Relaxed) == 0 {
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
    fn what_is_read_drives_nothing_out() {
        let mapped = Mapped::default();
        let files: Vec<_> = (0..3).map(|_| file()).collect();
        mapped.keep_read(&files[0], 0..1000);
        assert!(files[0].is_mapped());
        mapped.map_within(&files[1], 2000);
        mapped.keep_read(&files[2], 0..1000);
        assert!(files[0].is_mapped() && !files[2].is_mapped());
        // What is written comes in any case.
        mapped.keep_written(&files[2], 0..1000);
        assert!(files[2].is_mapped());
    }

    #[test]
    fn one_that_cannot_be_mapped_takes_no_room() {
        let mapped = Mapped::default();
        let empty = Arc::new(MappedFile::new(tempfile::tempfile().unwrap()));
        mapped.map(&empty);
        mapped.map(&empty);
        assert_eq!(mapped.refused(), 1);
        assert!(!empty.is_mapped() && mapped.files.lock().order.is_empty());
    }
}
