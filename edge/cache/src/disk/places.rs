//! Where records lie, beside the storage engine, which does not tell.
//!
//! Each block of the engine has pages that say what lies where ([`super::blocks`]). They are read at the start, when something
//! was written, and when a block is full. What is known is a guess: whoever reads by it checks what he finds, and looks it up the engine's
//! way when it is not what it should be, or not known. Whether there is a record at all only the engine says.
//!
//! Chunks never change under their key. The records of slots do: of one that was written since the start it is known what it
//! must be, so that an older one, which lies in an older block, is not taken for it.
//!
//! Of a record it is also remembered whether all that the kernel has of it was checked here as it came into memory. Then it may go
//! out as it lies, unread. A block's file is given up before anything is written over it: see [`Places::gone`].

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::BuildHasher as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use foyer::DefaultHasher;
use mcsp_edge_mapped::MappedFile;
use parking_lot::{Mutex, RwLock};

use super::blocks::{self, Entry, Mark};
use super::direct::{self, Extent};
use super::mapped::Mapped;
use super::record::RecordKey;

/// How much after a record is fetched with it, where records are read one after the other.
const AHEAD_BYTES: u64 = 128 << 10;

/// One record's place.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) file: Arc<MappedFile>,
    pub(super) block: u32,
    pub(super) extent: Extent,
    /// What the record's print must be.
    pub(super) print: Option<u64>,
    /// All of it that the kernel has in memory was checked.
    pub(super) is_checked: bool,
}

/// What the kernel was told to fetch.
#[derive(Debug)]
pub(super) struct Fetched {
    file: Arc<MappedFile>,
    range: Range<u64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    at: Option<(u32, Extent)>,
    sequence: u64,
    print: Option<u64>,
    /// The seed of the key that all of it that the kernel has was checked for. What is known is found by a hash, which another key
    /// may share; nobody reads what is sent as it lies, so that here both must be the same.
    checked_for: Option<u64>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<u64, Known>,
    blocks: HashMap<u32, Block>,
}

/// A block that was looked at.
#[derive(Debug)]
struct Block {
    file: Arc<MappedFile>,
    /// What was found in it, in the order in which it was written.
    hashes: Vec<u64>,
    /// Where what was fetched from the disk last ends; far from everything before that.
    fetched_to: AtomicU64,
}

impl Block {
    fn new(file: Arc<MappedFile>) -> Self {
        Self {
            file,
            hashes: Vec::new(),
            fetched_to: AtomicU64::new(u64::MAX),
        }
    }
}

/// What the engine said of its blocks and nobody has looked at yet.
#[derive(Debug, Default)]
struct Pending {
    filled: BTreeSet<u32>,
    /// The oldest, which go next.
    leaving: HashSet<u32>,
    /// What is being looked at, unless it was given up meanwhile.
    looked_at: Option<u32>,
    /// What the engine writes to, as far as is known, unless it became full.
    unfinished: Option<u32>,
}

/// Where records lie.
#[derive(Debug)]
pub(super) struct Places {
    dir: PathBuf,
    state: RwLock<State>,
    pending: Mutex<Pending>,
    /// One looks at a time: how far the block that is not full was looked at.
    looking: Mutex<Option<(u32, Mark)>>,
    pub(super) mapped: Mapped,
    /// A block may be written over that was not given up.
    is_distrusted: AtomicBool,
}

impl Places {
    /// In the blocks in `dir`; nothing is known yet.
    pub(super) fn new(dir: &Path) -> Arc<Self> {
        Arc::new(Self {
            dir: dir.to_owned(),
            state: RwLock::default(),
            pending: Mutex::default(),
            looking: Mutex::default(),
            mapped: Mapped::default(),
            is_distrusted: AtomicBool::new(false),
        })
    }

    /// A block is full. Called under a lock of the engine's.
    pub(super) fn filled(&self, block: u32) {
        let mut pending = self.pending.lock();
        pending.filled.insert(block);
        pending.unfinished.take_if(|written| *written == block);
    }

    /// A block is about to go: what is read of it had better be written again.
    pub(super) fn leaving(&self, block: u32) {
        self.pending.lock().leaving.insert(block);
    }

    /// A block was given up, and will be written over when this returns. Called under a lock of the engine's.
    pub(super) fn gone(&self, block: u32) {
        {
            let mut pending = self.pending.lock();
            pending.filled.remove(&block);
            pending.leaving.remove(&block);
            pending.looked_at.take_if(|looked_at| *looked_at == block);
            pending.unfinished.take_if(|written| *written == block);
        }
        let mut state = self.state.write();
        let Some(left) = state.blocks.remove(&block) else {
            return;
        };
        for hash in left.hashes {
            let is_there = |known: &Known| known.at.is_some_and(|(at, _)| at == block);
            if state.known.get(&hash).is_some_and(is_there) {
                // What is older under its key has left before.
                state.known.remove(&hash);
            }
        }
        drop(state);
        left.file.give_up();
    }

    /// Nothing more is sent of any block: others may write over them.
    pub(super) fn give_up(&self) {
        let blocks = std::mem::take(&mut self.state.write().blocks);
        for block in blocks.values() {
            block.file.give_up();
        }
    }

    /// Nothing more is sent of any block as it lies: one may be written over that was not given up. What is read is checked.
    pub(super) fn distrust(&self) {
        if self.is_distrusted.swap(true, Ordering::AcqRel) {
            return;
        }
        // Whoever has found a place before this keeps its file, and sends nothing of that from here on.
        for block in self.state.read().blocks.values() {
            block.file.give_up();
        }
    }

    /// See [`Self::distrust`].
    pub(super) fn are_distrusted(&self) -> bool {
        self.is_distrusted.load(Ordering::Acquire)
    }

    pub(super) fn is_leaving(&self, block: u32) -> bool {
        self.pending.lock().leaving.contains(&block)
    }

    /// Is there anything to look at?
    pub(super) fn is_behind(&self) -> bool {
        !self.pending.lock().filled.is_empty()
    }

    /// Has the kernel keep in memory what was just read from the disk. Blocks its thread for a moment.
    pub(super) fn keep_read(&self, place: &Place) {
        let range = u64::from(place.extent.offset)..place.extent.end();
        self.mapped.keep_read(&place.file, range);
    }

    /// A record is about to be read from the disk. If what lies shortly before it was read before, others are likely to be asked for
    /// in the order in which they were written, too: has the kernel begin to fetch those up to [`AHEAD_BYTES`] after it. Blocks
    /// its thread for a moment.
    pub(super) fn fetch_after(&self, key: RecordKey, place: &Place) -> Option<Fetched> {
        let range = self.after(key, place)?;
        let file = Arc::clone(&place.file);
        direct::fetch_ahead(file.file(), range.clone());
        Some(Fetched { file, range })
    }

    /// Has the kernel keep what it was to fetch, once that has come. Blocks its thread until then.
    pub(super) fn keep_fetched(&self, fetched: Fetched) {
        let Fetched { file, range } = fetched;
        direct::wait_for(file.file(), range.clone());
        self.mapped.keep_read(&file, range);
    }

    /// See [`Self::fetch_after`]: where that lies in the block. From here on none of it is known to be checked.
    fn after(&self, key: RecordKey, place: &Place) -> Option<Range<u64>> {
        let Range {
            start: from,
            end: to,
        } = place.extent.range();
        let last = {
            let state = self.state.read();
            let block = state.blocks.get(&place.block)?;
            block.fetched_to.swap(to, Ordering::Relaxed)
        };
        if from.abs_diff(last) > AHEAD_BYTES {
            return None;
        }
        let mut state = self.state.write();
        let State { known, blocks } = &mut *state;
        let block = blocks.get(&place.block)?;
        let hash = hash_of(key);
        let index = block.hashes.iter().rposition(|there| *there == hash)?;
        let mut end = to;
        for next in block.hashes.iter().skip(index + 1) {
            // What has another place by now is not asked for here.
            let Some(known) = known.get_mut(next) else {
                continue;
            };
            let Some((_, extent)) = known.at.filter(|(at, _)| *at == place.block) else {
                continue;
            };
            if extent.end() > to + AHEAD_BYTES {
                break;
            }
            // Nobody checks what comes so.
            known.checked_for = None;
            end = end.max(extent.end());
        }
        block.fetched_to.store(end, Ordering::Relaxed);
        (end > to).then_some(to..end)
    }

    fn file_of(&self, block: u32) -> Option<Arc<MappedFile>> {
        let state = self.state.read();
        Some(Arc::clone(&state.blocks.get(&block)?.file))
    }

    /// Reads what lies in the blocks of an earlier process. Blocks its thread.
    pub(super) fn recover(&self) {
        let _looking = self.looking.lock();
        self.look_at_filled(|_| ());
    }

    /// Reads what lies in blocks that became full. Blocks its thread.
    pub(super) fn look(&self) {
        let _looking = self.looking.lock();
        self.look_at_filled(|block| self.keep_written(block, 0..u64::MAX));
    }

    /// The same, and what was written since to the block that is not full yet. Blocks its thread.
    pub(super) fn follow(&self) {
        let mut looking = self.looking.lock();
        self.look_at_filled(|block| self.keep_written(block, 0..u64::MAX));
        let unfinished = self.pending.lock().unfinished;
        let marked = looking.filter(|(block, _)| Some(*block) == unfinished);
        let Some((block, mut mark)) = marked.or_else(|| self.find_unfinished()) else {
            return;
        };
        let known = self.file_of(block);
        let file = match known {
            Some(file) => file,
            None => match blocks::open(&self.dir, block) {
                Ok(file) => Arc::new(MappedFile::new(file)),
                // What cannot be read is looked up the engine's way.
                Err(_) => return,
            },
        };
        let entries = blocks::entries_after(file.file(), &mut mark).unwrap_or_default();
        if entries.is_empty() {
            // Whatever was written was written elsewhere.
            self.pending.lock().unfinished = None;
            return;
        }
        let mut state = self.state.write();
        // What became full meanwhile is looked at as such.
        if self.pending.lock().unfinished == Some(block) {
            state.enter(block, file, &entries);
            *looking = Some((block, mark));
        }
        drop(state);
        let start = entries.iter().map(|entry| entry.extent.offset).min();
        let end = entries.iter().map(|entry| entry.extent.end()).max();
        if let (Some(start), Some(end)) = (start, end) {
            self.keep_written(block, u64::from(start)..end);
        }
    }

    /// Has the kernel keep what it has in memory of some of a block, if that is known.
    fn keep_written(&self, block: u32, range: Range<u64>) {
        let known = self.file_of(block);
        if let Some(file) = known {
            self.mapped.keep_written(&file, range);
        }
    }

    /// The block that the engine writes to, which tells nobody.
    fn find_unfinished(&self) -> Option<(u32, Mark)> {
        let known: HashSet<u32> = self.state.read().blocks.keys().copied().collect();
        let block = blocks::latest(&self.dir, |block| known.contains(&block)).ok()??;
        let mut pending = self.pending.lock();
        if pending.filled.contains(&block) {
            return None;
        }
        pending.unfinished = Some(block);
        Some((block, Mark::default()))
    }

    /// Tells of each block that was entered.
    fn look_at_filled(&self, entered: impl Fn(u32)) {
        loop {
            let block = {
                let mut pending = self.pending.lock();
                pending.looked_at = pending.filled.pop_first();
                pending.looked_at
            };
            let Some(block) = block else { return };
            // What cannot be read is looked up the engine's way.
            let Ok((file, entries)) = blocks::entries(&self.dir, block) else {
                continue;
            };
            let mut state = self.state.write();
            if self.pending.lock().looked_at != Some(block) {
                // Something else is being written there by now.
                continue;
            }
            state.enter(block, Arc::new(MappedFile::new(file)), &entries);
            drop(state);
            entered(block);
        }
    }

    /// A slot's record with this print is being written: what lies on the disk under its key is not it, so far.
    pub(super) fn written(&self, key: RecordKey, print: u64) {
        let known = Known {
            print: Some(print),
            ..Known::default()
        };
        self.state.write().known.insert(hash_of(key), known);
    }

    /// A record was taken away: the engine knows of none until another is written.
    pub(super) fn deleted(&self, key: RecordKey) {
        self.state.write().known.remove(&hash_of(key));
    }

    /// What was found at its place is not it.
    pub(super) fn is_not(&self, key: RecordKey, place: &Place) {
        let mut state = self.state.write();
        if let Some(known) = state.known.get_mut(&hash_of(key))
            && known.at == Some((place.block, place.extent))
        {
            known.at = None;
            known.checked_for = None;
        }
    }

    /// Notes whether all that the kernel has of the record at its place was checked as it came into memory.
    pub(super) fn note_checked(&self, key: RecordKey, place: &Place, is_checked: bool) {
        if place.is_checked == is_checked {
            return;
        }
        let mut state = self.state.write();
        // The same place in another file is another record's.
        let is_there = (state.blocks.get(&place.block))
            .is_some_and(|block| Arc::ptr_eq(&block.file, &place.file));
        if let Some(known) = state.known.get_mut(&hash_of(key))
            && known.at == Some((place.block, place.extent))
            && is_there
        {
            known.checked_for = is_checked.then(|| key.seed());
        }
    }

    pub(super) fn find(&self, key: RecordKey) -> Option<Place> {
        let state = self.state.read();
        let known = state.known.get(&hash_of(key))?;
        let (block, extent) = known.at?;
        let file = &state.blocks.get(&block)?.file;
        Some(Place {
            file: Arc::clone(file),
            block,
            extent,
            print: known.print,
            is_checked: known.checked_for.is_some_and(|seed| seed == key.seed()),
        })
    }
}

impl State {
    /// Notes what lies in a block, the oldest first. A block that is known has its file already, which is to be given up with it.
    fn enter(&mut self, block: u32, file: Arc<MappedFile>, entries: &[Entry]) {
        let Self { known, blocks } = self;
        let Block { hashes, .. } = blocks.entry(block).or_insert_with(|| Block::new(file));
        for entry in entries {
            let known = known.entry(entry.hash).or_default();
            let at = Some((block, entry.extent));
            // Of what was looked at before, it may be known that it is not what it should be.
            let is_later = entry.sequence > known.sequence;
            if is_later || (known.at.is_none() && entry.sequence == known.sequence) {
                known.at = at;
                known.sequence = entry.sequence;
                known.checked_for = None;
                hashes.push(entry.hash);
            }
        }
    }
}

/// As the engine's.
fn hash_of(key: RecordKey) -> u64 {
    DefaultHasher::default().hash_one(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody reads what goes out as it lies: here it would not be noticed that it is another's.
    #[test]
    fn what_was_checked_for_one_key_is_not_checked_for_another_with_the_same_hash() {
        let places = Places::new(Path::new("nowhere"));
        let [key, other] = [1, 2].map(|index| RecordKey::Chunk { body_id: 7, index });
        let extent = Extent {
            offset: 4096,
            len: 100,
        };
        let entry = |key| Entry {
            hash: hash_of(key),
            sequence: 1,
            extent,
        };
        let file = Arc::new(MappedFile::new(tempfile::tempfile().unwrap()));
        places.state.write().enter(3, file, &[entry(key)]);
        let place = places.find(key).unwrap();
        assert!(!place.is_checked);
        places.note_checked(key, &place, true);
        assert!(places.find(key).unwrap().is_checked);

        let mut state = places.state.write();
        let known = *state.known.get(&hash_of(key)).unwrap();
        state.known.insert(hash_of(other), known);
        drop(state);
        assert!(!places.find(other).unwrap().is_checked);
        assert!(places.find(key).unwrap().is_checked);
    }

    #[test]
    fn what_follows_is_wanted_where_reads_go_in_the_order_of_writing() {
        let places = Places::new(Path::new("nowhere"));
        let key = |index| RecordKey::Chunk { body_id: 7, index };
        let extent = |index: u32| Extent {
            offset: index * 4096,
            len: 1000,
        };
        let entry = |index| Entry {
            hash: hash_of(key(index)),
            sequence: u64::from(index),
            extent: extent(index),
        };
        let entries: Vec<Entry> = (1..200).map(entry).collect();
        let file = Arc::new(MappedFile::new(tempfile::tempfile().unwrap()));
        places.state.write().enter(3, file, &entries);
        let after = |index| places.after(key(index), &places.find(key(index)).unwrap());
        let bytes =
            |from: u32, to: u32| Some(u64::from(from) * 4096 + 1000..u64::from(to) * 4096 + 1000);

        places.note_checked(key(7), &places.find(key(7)).unwrap(), true);
        assert_eq!(after(1), None);
        assert!(places.find(key(7)).unwrap().is_checked);
        // 32 pages, and no longer known to be checked.
        assert_eq!(after(5), bytes(5, 37));
        assert!(!places.find(key(7)).unwrap().is_checked);
        assert_eq!(after(38), bytes(38, 70));
        // Far from there.
        assert_eq!(after(150), None);
        assert_eq!(after(149), bytes(149, 181));
        assert_eq!(after(198), bytes(198, 199));
        assert_eq!(after(199), None);
    }
}
