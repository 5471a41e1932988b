//! Reading records where they lie, past the storage engine: in place when the kernel has them in memory, without another
//! thread and without a copy.
//!
//! An entry of the engine is its header (36 bytes), the value, the key. The value of ours begins with its length and a
//! checksum for each of its slices, seeded with the key: so a slice is known to be whole, and of this record, by itself. What
//! lies somewhere else by now, or is half overwritten, fails that and is looked up the engine's way.

use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use rustix::fs::{Advice, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};

use super::record::{KEY_BYTES, RECORD_BYTES_MAX, RecordKey, SLICE_BYTES, slice_sum};
use super::spare::{Lent, Spare};

/// The engine's header of an entry.
const ENTRY_HEADER_BYTES: usize = 36;
/// The length of the content.
const LENGTH_BYTES: usize = 4;
const SUM_BYTES: usize = 8;

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Of the entry, in its block.
    pub(super) offset: u32,
    /// Of the entry.
    pub(super) len: u32,
}

/// Why nothing was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// It would have to be waited for.
    WouldWait,
    /// It is not there, or not as it should be.
    NotThere,
}

/// May the disk be waited for?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// No: only what the kernel has in memory.
    No,
    /// Yes. Blocks the thread.
    Yes,
}

/// A record read in whole.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) content: Bytes,
    /// Tells this content from others that were written under the key.
    pub(super) print: u64,
}

impl Extent {
    /// Is the record's content of this length?
    pub(super) fn is_of(self, content_len: usize) -> bool {
        self.content().is_some_and(|(len, _)| len == content_len)
    }

    /// Where the entry lies in its block.
    pub(super) fn range(self) -> Range<u64> {
        u64::from(self.offset)..self.end()
    }

    /// Where the entry ends in its block.
    pub(super) fn end(self) -> u64 {
        u64::from(self.offset) + u64::from(self.len)
    }

    /// Where in its block a part of the content lies; nothing when that is not so long.
    pub(super) fn part(self, within: Range<usize>) -> Option<Range<u64>> {
        let (len, slices) = self.content()?;
        if within.is_empty() || within.end > len {
            return None;
        }
        let head_len = ENTRY_HEADER_BYTES + LENGTH_BYTES + slices * SUM_BYTES;
        let at = |offset: usize| u64::from(self.offset) + (head_len + offset) as u64;
        Some(at(within.start)..at(within.end))
    }

    /// Bytes of the content, and how many slices it has.
    fn content(self) -> Option<(usize, usize)> {
        let frame = ENTRY_HEADER_BYTES + LENGTH_BYTES + KEY_BYTES;
        let rest = usize::try_from(self.len).ok()?.checked_sub(frame)?;
        let slices = rest.div_ceil(SLICE_BYTES + SUM_BYTES);
        let content = rest.checked_sub(slices * SUM_BYTES)?;
        (content <= RECORD_BYTES_MAX).then_some((content, slices))
    }
}

/// The whole record.
pub(super) fn whole(
    file: &File,
    extent: Extent,
    key: RecordKey,
    wait: Wait,
) -> Result<Whole, Unread> {
    let (len, slices) = extent.content().ok_or(Unread::NotThere)?;
    let head_len = ENTRY_HEADER_BYTES + LENGTH_BYTES + slices * SUM_BYTES;
    let mut entry = vec![0; head_len + len];
    read(file, [&mut entry, &mut []], u64::from(extent.offset), wait)?;
    let (head, content) = entry.split_at(head_len);
    let sums = Sums::of(head, len)?;
    sums.check(key, 0, content)?;
    let print = sums.print();
    Ok(Whole {
        content: Bytes::from(entry).slice(head_len..),
        print,
    })
}

/// The longest beginning of an entry, up to the content.
const HEAD_BYTES_MAX: usize =
    ENTRY_HEADER_BYTES + LENGTH_BYTES + RECORD_BYTES_MAX / SLICE_BYTES * SUM_BYTES;

/// A part of a record's content that is to be read, and the memory for it.
#[derive(Debug)]
pub(super) struct Part {
    extent: Extent,
    key: RecordKey,
    within: Range<usize>,
    /// Of the whole content.
    len: usize,
    head_len: usize,
    /// Where the slices begin that have all of it.
    from: usize,
    slices: Lent,
}

impl Part {
    /// What lies `within` the content; nothing when that is not so long.
    pub(super) fn of(
        extent: Extent,
        key: RecordKey,
        within: Range<usize>,
        spare: &Arc<Spare>,
    ) -> Option<Self> {
        let (len, slices) = extent.content()?;
        if within.is_empty() || within.end > len {
            return None;
        }
        let from = within.start / SLICE_BYTES * SLICE_BYTES;
        let to = within.end.next_multiple_of(SLICE_BYTES).min(len);
        Some(Self {
            extent,
            key,
            within,
            len,
            head_len: ENTRY_HEADER_BYTES + LENGTH_BYTES + slices * SUM_BYTES,
            from,
            slices: spare.take(to - from),
        })
    }

    /// Reads and checks it.
    pub(super) fn read(&mut self, file: &File, wait: Wait) -> Result<(), Unread> {
        let mut head = [0; HEAD_BYTES_MAX];
        let head = head.get_mut(..self.head_len).ok_or(Unread::NotThere)?;
        let at = u64::from(self.extent.offset);
        let content = self.slices.bytes_mut();
        if self.from == 0 {
            read(file, [&mut *head, content], at, wait)?;
        } else {
            read(file, [&mut *head, &mut []], at, wait)?;
            let content_at = at + (self.head_len + self.from) as u64;
            read(file, [content, &mut []], content_at, wait)?;
        }
        Sums::of(head, self.len)?.check(self.key, self.from / SLICE_BYTES, self.slices.as_ref())
    }

    /// What was read.
    pub(super) fn into_bytes(self) -> Option<Bytes> {
        let slices = self.slices.as_ref();
        let within = self.within.start - self.from..self.within.end - self.from;
        if within == (0..slices.len()) {
            return Some(self.slices.into_bytes());
        }
        // What lies around it is not held in memory for it.
        slices.get(within).map(Bytes::copy_from_slice)
    }
}

/// Has the kernel begin to fetch what is likely to be read next. Blocks the thread for a moment.
pub(super) fn fetch_ahead(file: &File, range: Range<u64>) {
    let len = NonZeroU64::new(range.end.saturating_sub(range.start));
    // Whether it can does not matter: it is read all the same.
    let _ = fadvise(file, range.start, len, Advice::WillNeed);
}

/// Returns when the kernel has read what it was told to fetch, or cannot. Blocks the thread.
pub(super) fn wait_for(file: &File, range: Range<u64>) {
    let mut piece = [0; 16 << 10];
    let mut at = range.start;
    while at < range.end {
        match file.read_at(&mut piece, at) {
            Ok(read) if read > 0 => at += read as u64,
            Ok(_) | Err(_) => return,
        }
    }
}

/// The checksums before a content.
struct Sums<'a>(&'a [u8]);

impl<'a> Sums<'a> {
    /// Of an entry's beginning; `len` is what the content's length should be.
    fn of(head: &'a [u8], len: usize) -> Result<Self, Unread> {
        let said = head.get(ENTRY_HEADER_BYTES..).ok_or(Unread::NotThere)?;
        let (mut said, sums) = said
            .split_at_checked(LENGTH_BYTES)
            .ok_or(Unread::NotThere)?;
        match usize::try_from(said.get_u32()) {
            Ok(said) if said == len => Ok(Self(sums)),
            _ => Err(Unread::NotThere),
        }
    }

    /// Is `content` what lies from slice `first` on?
    fn check(&self, key: RecordKey, first: usize, content: &[u8]) -> Result<(), Unread> {
        let seed = key.seed();
        let mut sums = self.0.chunks_exact(SUM_BYTES).skip(first);
        let is_whole = content.chunks(SLICE_BYTES).all(|slice| {
            sums.next()
                .is_some_and(|mut sum| sum.get_u64() == slice_sum(seed, slice))
        });
        is_whole.then_some(()).ok_or(Unread::NotThere)
    }

    fn print(&self) -> u64 {
        super::record::print_of(self.0.chunks_exact(SUM_BYTES).map(|mut sum| sum.get_u64()))
    }
}

/// Fills the buffers, one after the other, with what lies from `at` on.
fn read(file: &File, buffers: [&mut [u8]; 2], at: u64, wait: Wait) -> Result<(), Unread> {
    match wait {
        Wait::No => read_now(file, buffers, at),
        Wait::Yes => {
            let mut at = at;
            for buffer in buffers {
                file.read_exact_at(buffer, at)
                    .map_err(|error| unread(&error))?;
                at += buffer.len() as u64;
            }
            Ok(())
        }
    }
}

fn unread(error: &io::Error) -> Unread {
    match error.kind() {
        ErrorKind::WouldBlock => Unread::WouldWait,
        _ => Unread::NotThere,
    }
}

fn read_now(file: &File, buffers: [&mut [u8]; 2], at: u64) -> Result<(), Unread> {
    let wanted: usize = buffers.iter().map(|buffer| buffer.len()).sum();
    let mut slices = buffers.map(IoSliceMut::new);
    match preadv2(file, &mut slices, at, ReadWriteFlags::NOWAIT) {
        Ok(read) if read == wanted => Ok(()),
        // The kernel has nothing of it or the beginning only, the file ends, or the kernel or the file system cannot tell
        // what is in memory: one that may wait finds out.
        Ok(_) | Err(_) => Err(Unread::WouldWait),
    }
}

#[cfg(test)]
mod tests {
    use foyer::Code as _;

    use super::super::record::Content;
    use super::*;

    const KEY: RecordKey = RecordKey::Chunk {
        body_id: 1 << 90,
        index: 3,
    };

    fn content(len: usize) -> Vec<u8> {
        (0..len).map(|n| ((n * 31) >> 5) as u8).collect()
    }

    /// A block with one entry at a page, as the engine writes it.
    fn block(content: &[u8]) -> (File, Extent) {
        let mut entry = vec![0; ENTRY_HEADER_BYTES];
        let value = Content::new(KEY, Bytes::copy_from_slice(content));
        value.encode(&mut entry).unwrap();
        KEY.encode(&mut entry).unwrap();
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&entry, 8192).unwrap();
        file.set_len(1 << 20).unwrap();
        let extent = Extent {
            offset: 8192,
            len: u32::try_from(entry.len()).unwrap(),
        };
        (file, extent)
    }

    fn part(
        file: &File,
        extent: Extent,
        key: RecordKey,
        within: Range<usize>,
        wait: Wait,
    ) -> Result<Bytes, Unread> {
        let spare = Arc::default();
        let mut part = Part::of(extent, key, within, &spare).ok_or(Unread::NotThere)?;
        part.read(file, wait)?;
        part.into_bytes().ok_or(Unread::NotThere)
    }

    fn parts(len: usize) -> Vec<Range<usize>> {
        let ranges = [0..len, 0..1, 0..SLICE_BYTES, 5..100, SLICE_BYTES..len];
        let more = [SLICE_BYTES - 1..SLICE_BYTES + 1, len.saturating_sub(1)..len];
        let all = ranges.into_iter().chain(more);
        all.filter(|range| range.start < range.end && range.end <= len)
            .collect()
    }

    /// What was just written is in the kernel's memory; this also says that kernel and file system can tell.
    #[test]
    fn what_the_kernel_has_is_read_in_place_whole_and_in_parts() {
        for len in [0, 1, 1000, SLICE_BYTES, SLICE_BYTES + 1, 256 << 10] {
            let content = content(len);
            let (file, extent) = block(&content);
            for wait in [Wait::No, Wait::Yes] {
                let found = whole(&file, extent, KEY, wait).unwrap();
                assert!(found.content == content, "{len} bytes, {wait:?}");
                let written = Content::new(KEY, Bytes::from(content.clone()));
                assert_eq!(found.print, written.print());
                for within in parts(len) {
                    let part = part(&file, extent, KEY, within.clone(), wait).unwrap();
                    assert!(part == content[within.clone()], "{within:?} of {len}");
                }
                let beyond = part(&file, extent, KEY, 0..len + 1, wait);
                assert_eq!(beyond, Err(Unread::NotThere));
            }
        }
    }

    #[test]
    fn what_is_not_the_record_is_not_read() {
        let content = content(3 * SLICE_BYTES);
        let (file, extent) = block(&content);
        let other = RecordKey::Chunk {
            body_id: 1 << 90,
            index: 4,
        };
        assert_eq!(
            whole(&file, extent, other, Wait::Yes).unwrap_err(),
            Unread::NotThere
        );
        for moved in [
            Extent {
                offset: 4096,
                ..extent
            },
            Extent {
                len: extent.len - 1,
                ..extent
            },
            Extent { len: 9, ..extent },
            Extent {
                len: u32::MAX,
                ..extent
            },
        ] {
            assert!(whole(&file, moved, KEY, Wait::No).is_err(), "{moved:?}");
            assert!(part(&file, moved, KEY, 0..10, Wait::Yes).is_err());
        }
        // One byte of the second slice: the others are good by themselves.
        let at = u64::from(extent.offset) + u64::from(extent.len) - 21 - SLICE_BYTES as u64 - 7;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        for wait in [Wait::No, Wait::Yes] {
            assert!(whole(&file, extent, KEY, wait).is_err());
            for (slice, is_good) in [(0, true), (1, false), (2, true)] {
                let within = slice * SLICE_BYTES..(slice + 1) * SLICE_BYTES;
                let found = part(&file, extent, KEY, within, wait);
                assert_eq!(found.is_ok(), is_good, "slice {slice}");
            }
        }
    }

    /// Some files cannot be read so; then the one that may wait is asked.
    #[test]
    fn where_it_cannot_be_told_what_is_in_memory_it_would_wait() {
        let file = File::open("/proc/self/mounts").unwrap();
        let mut buffer = [0; 16];
        let told = preadv2(
            &file,
            &mut [IoSliceMut::new(&mut buffer)],
            0,
            ReadWriteFlags::NOWAIT,
        );
        assert_eq!(told, Err(rustix::io::Errno::OPNOTSUPP));
        let read = read_now(&file, [&mut buffer, &mut []], 0);
        assert_eq!(read, Err(Unread::WouldWait));
        let empty = tempfile::tempfile().unwrap();
        assert!(read_now(&empty, [&mut buffer, &mut []], 0).is_err());
    }
}
