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
use std::sync::atomic::{AtomicBool, Ordering};

use foyer::DefaultHasher;
use mcsp_edge_mapped::MappedFile;
use parking_lot::{Mutex, RwLock};

use super::blocks::{self, Entry, Mark};
use super::direct::Extent;
use super::mapped::Mapped;
use super::record::RecordKey;

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
    /// What was found in each block, and the open file.
    blocks: HashMap<u32, (Arc<MappedFile>, Vec<u64>)>,
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
        let Some((file, hashes)) = state.blocks.remove(&block) else {
            return;
        };
        for hash in hashes {
            let is_there = |known: &Known| known.at.is_some_and(|(at, _)| at == block);
            if state.known.get(&hash).is_some_and(is_there) {
                // What is older under its key has left before.
                state.known.remove(&hash);
            }
        }
        drop(state);
        file.give_up();
    }

    /// Nothing more is sent of any block: others may write over them.
    pub(super) fn give_up(&self) {
        let blocks = std::mem::take(&mut self.state.write().blocks);
        for (file, _) in blocks.values() {
            file.give_up();
        }
    }

    /// Nothing more is sent of any block as it lies: one may be written over that was not given up. What is read is checked.
    pub(super) fn distrust(&self) {
        if self.is_distrusted.swap(true, Ordering::AcqRel) {
            return;
        }
        // Whoever has found a place before this keeps its file, and sends nothing of that from here on.
        for (file, _) in self.state.read().blocks.values() {
            file.give_up();
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
        let known = (self.state.read().blocks.get(&block)).map(|(file, _)| Arc::clone(file));
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
        let known = (self.state.read().blocks.get(&block)).map(|(file, _)| Arc::clone(file));
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
            .is_some_and(|(file, _)| Arc::ptr_eq(file, &place.file));
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
        let (file, _) = state.blocks.get(&block)?;
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
        let (_, hashes) = blocks.entry(block).or_insert_with(|| (file, Vec::new()));
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
}
