//! The age of the storage engine's blocks.
//!
//! The engine gives whole blocks up, and after a restart it would do so in any order. Then an old record could outlive
//! the newer one that replaced it and be found again. So the order of writing is read from the blocks themselves, and
//! the oldest goes first.
//!
//! The engine also expects that one block is empty when it starts; a process that was killed may have left none, and
//! writing would wait for ever. So the oldest is emptied in that case.
//!
//! A block begins with an index page: checksum (XXH64 of the rest, 8 bytes), count (4), and for each record its hash
//! (8), sequence (8), offset (4) and length (4), big-endian.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Buf;
use foyer::{EvictionInfo, EvictionPicker};
use rustix::fs::{Advice, fadvise};
use twox_hash::XxHash64;

use super::direct::Extent;
use super::places::Places;

/// Bytes of an index page.
pub(super) const INDEX_BYTES: usize = 4096;
/// Of an index page's checksum.
const SUM_BYTES: usize = 8;
/// Everything in a block begins at a multiple of this.
const PAGE_BYTES: u64 = 4096;
/// Before each block's number in its file's name. Number 0 is the log of what was deleted.
const FILE_PREFIX: &str = "foyer-storage-direct-fs-";

/// When each block that holds records was begun: the smaller, the older. Makes sure that one block is empty.
///
/// # Errors
/// When the folder or a block cannot be read or written.
pub(super) fn ages(dir: &Path) -> io::Result<HashMap<u32, u64>> {
    let mut ages = HashMap::new();
    let mut blocks = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let Some(number) = entry.file_name().to_str().and_then(block_number) else {
            continue;
        };
        blocks += 1;
        if let Some(sequence) = first_sequence(&entry.path())? {
            ages.insert(number, sequence);
        }
    }
    if blocks > 0
        && ages.len() == blocks
        && let Some(oldest) = ages
            .iter()
            .min_by_key(|(number, sequence)| (**sequence, **number))
            .map(|(number, _)| *number)
    {
        empty(&dir.join(file_name(oldest)))?;
        ages.remove(&oldest);
    }
    Ok(ages)
}

fn file_name(block: u32) -> String {
    format!("{FILE_PREFIX}{:08}", block + 1)
}

fn block_number(file_name: &str) -> Option<u32> {
    let number: u32 = file_name.strip_prefix(FILE_PREFIX)?.parse().ok()?;
    number.checked_sub(1)
}

/// The sequence of the block's first record; nothing when it has none.
fn first_sequence(path: &Path) -> io::Result<Option<u64>> {
    const FIRST_SEQUENCE_AT: usize = 8 + 4 + 8;
    let mut page = [0; INDEX_BYTES];
    match open_at(path)?.read_exact_at(&mut page, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        outcome => outcome?,
    }
    let (sum, rest) = page.split_at(SUM_BYTES);
    let is_index = XxHash64::oneshot(0, rest) == (&*sum).get_u64();
    let has_records = (&rest[..4]).get_u32() > 0;
    Ok((is_index && has_records).then(|| (&page[FIRST_SEQUENCE_AT..]).get_u64()))
}

/// What lies where in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Of the key.
    pub(super) hash: u64,
    /// Later than what was written before.
    pub(super) sequence: u64,
    pub(super) extent: Extent,
}

/// How far a block was looked at.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mark {
    page_at: u64,
    in_page: usize,
    sequence: u64,
}

/// A block, to be read.
///
/// # Errors
/// When it cannot be opened.
pub(super) fn open(dir: &Path, block: u32) -> io::Result<File> {
    open_at(&dir.join(file_name(block)))
}

fn open_at(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    // Only what is asked for is to come into memory: that is what gets checked. Where this has no effect, a little more comes. It
    // matters for the first page most: whoever reads that without it has more fetched, and leaves a mark behind it at which others
    // have still more fetched, whatever they advised.
    let _ = fadvise(&file, 0, None, Advice::Random);
    Ok(file)
}

/// Everything in a block, as the engine itself would find it: page after page, up to where an older one begins.
///
/// # Errors
/// When the block cannot be read.
pub(super) fn entries(dir: &Path, block: u32) -> io::Result<(File, Vec<Entry>)> {
    let file = open(dir, block)?;
    let entries = entries_after(&file, &mut Mark::default())?;
    Ok((file, entries))
}

/// The same from where it was looked at last. The engine writes a page again and again, until it is full.
///
/// # Errors
/// When the block cannot be read.
pub(super) fn entries_after(file: &File, mark: &mut Mark) -> io::Result<Vec<Entry>> {
    let mut page = [0; INDEX_BYTES];
    let mut entries: Vec<Entry> = Vec::new();
    let mut at = mark.page_at;
    let mut seen = mark.in_page;
    loop {
        match file.read_exact_at(&mut page, at) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            outcome => outcome?,
        }
        let Some(found) = index(&page, at) else { break };
        let Some(last) = found.last() else { break };
        let end = last.extent.end();
        for (number, entry) in found.iter().enumerate().skip(seen) {
            if entry.sequence < mark.sequence {
                return Ok(entries);
            }
            entries.push(*entry);
            *mark = Mark {
                page_at: at,
                in_page: number + 1,
                sequence: entry.sequence,
            };
        }
        at = end.next_multiple_of(PAGE_BYTES);
        seen = 0;
    }
    Ok(entries)
}

/// Of those blocks that are not `known`, the one that was begun last.
///
/// # Errors
/// When the folder or a block cannot be read.
pub(super) fn latest(dir: &Path, known: impl Fn(u32) -> bool) -> io::Result<Option<u32>> {
    /// Others that were written to of late were emptied, each while a block was written.
    const LOOKED_INTO: usize = 8;
    let mut written = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if let Some(number) = entry.file_name().to_str().and_then(block_number)
            && !known(number)
        {
            written.push((entry.metadata()?.modified()?, number));
        }
    }
    written.sort_unstable_by_key(|written| std::cmp::Reverse(*written));
    let mut latest = None;
    for (_, number) in written.into_iter().take(LOOKED_INTO) {
        if let Some(sequence) = first_sequence(&dir.join(file_name(number)))? {
            latest = latest.max(Some((sequence, number)));
        }
    }
    Ok(latest.map(|(_, number)| number))
}

/// What an index page at `at` says; nothing when it is none.
fn index(page: &[u8; INDEX_BYTES], at: u64) -> Option<Vec<Entry>> {
    const ENTRY_BYTES: usize = 8 + 8 + 4 + 4;
    let (mut sum, mut rest) = page.split_at(SUM_BYTES);
    if XxHash64::oneshot(0, rest) != sum.get_u64() {
        return None;
    }
    let count = usize::try_from(rest.get_u32()).ok()?;
    let base = u32::try_from(at).ok()?;
    rest.chunks_exact(ENTRY_BYTES)
        .take(count)
        .map(|mut entry| {
            Some(Entry {
                hash: entry.get_u64(),
                sequence: entry.get_u64(),
                extent: Extent {
                    offset: base.checked_add(entry.get_u32())?,
                    len: entry.get_u32(),
                },
            })
        })
        .collect()
}

fn empty(path: &Path) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .open(path)?
        .write_all_at(&[0; INDEX_BYTES], 0)
}

/// Gives up the block that was begun first, and marks the next ones, a tenth of all, as about to go.
#[derive(Debug)]
pub(super) struct OldestFirst {
    about_to_go: usize,
    recovered: HashMap<u32, u64>,
    order: BTreeMap<u64, u32>,
    next: u64,
    /// Is told what becomes of blocks.
    places: Arc<Places>,
}

impl OldestFirst {
    /// With the ages of the blocks that were found.
    pub(super) fn new(ages: HashMap<u32, u64>, places: Arc<Places>) -> Self {
        let mut numbered: Vec<(u64, u32)> = ages
            .into_iter()
            .map(|(block, sequence)| (sequence, block))
            .collect();
        numbered.sort_unstable();
        let next = numbered.len() as u64;
        let recovered = (0..)
            .zip(numbered)
            .map(|(rank, (_, block))| (block, rank))
            .collect();
        Self {
            about_to_go: 0,
            recovered,
            order: BTreeMap::new(),
            next,
            places,
        }
    }
}

impl OldestFirst {
    /// Marks the oldest, unless there are empty blocks to use up before.
    fn mark(&self, info: &EvictionInfo<'_>) {
        let count = self.about_to_go.saturating_sub(info.clean);
        for block in self.order.values().take(count) {
            self.places.leaving(*block);
            if let Some(block) = usize::try_from(*block)
                .ok()
                .and_then(|at| info.blocks.get(at))
            {
                block.statistics().probation.store(true, Ordering::Relaxed);
            }
        }
    }
}

impl EvictionPicker for OldestFirst {
    fn init(&mut self, blocks: &[u32], _: usize) {
        // One block fewer may be empty than the count says, for one of them is being filled.
        const ABOUT_TO_GO_MIN: usize = 3;
        self.about_to_go = (blocks.len() / 10).max(ABOUT_TO_GO_MIN);
    }

    fn pick(&mut self, info: EvictionInfo<'_>) -> Option<u32> {
        self.mark(&info);
        self.order.first_key_value().map(|(_, block)| *block)
    }

    fn on_block_evictable(&mut self, info: EvictionInfo<'_>, block: u32) {
        let rank = self.recovered.remove(&block).unwrap_or_else(|| {
            self.next += 1;
            self.next
        });
        self.order.insert(rank, block);
        self.places.filled(block);
        self.mark(&info);
    }

    fn on_block_evict(&mut self, _: EvictionInfo<'_>, block: u32) {
        self.order.retain(|_, held| *held != block);
        self.places.gone(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_block(dir: &Path, block: u32, first_sequence: u64) {
        let mut page = vec![0_u8; INDEX_BYTES];
        page[8..12].copy_from_slice(&1_u32.to_be_bytes());
        page[20..28].copy_from_slice(&first_sequence.to_be_bytes());
        let sum = XxHash64::oneshot(0, &page[8..]);
        page[..8].copy_from_slice(&sum.to_be_bytes());
        std::fs::write(dir.join(file_name(block)), page).unwrap();
    }

    #[test]
    fn the_oldest_block_is_emptied_when_none_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        for (block, sequence) in [(0, 70), (1, 20), (2, 90)] {
            write_block(dir.path(), block, sequence);
        }
        std::fs::write(dir.path().join(format!("{FILE_PREFIX}00000000")), "log").unwrap();
        assert_eq!(ages(dir.path()).unwrap(), HashMap::from([(0, 70), (2, 90)]));
        // There is an empty one now.
        assert_eq!(ages(dir.path()).unwrap(), HashMap::from([(0, 70), (2, 90)]));
    }

    #[test]
    fn what_was_written_first_goes_first() {
        let blocks = Vec::new();
        let evictable = std::collections::HashSet::new();
        let info = || EvictionInfo {
            blocks: &blocks,
            evictable: &evictable,
            clean: 0,
        };
        let mut picker = OldestFirst::new(
            HashMap::from([(4, 900), (7, 30), (5, 100)]),
            Places::new(Path::new("nowhere")),
        );
        for block in [5, 4, 7] {
            picker.on_block_evictable(info(), block);
        }
        picker.on_block_evictable(info(), 1);
        let mut order = Vec::new();
        while let Some(block) = picker.pick(info()) {
            order.push(block);
            picker.on_block_evict(info(), block);
        }
        assert_eq!(order, [7, 5, 4, 1]);
    }
}
