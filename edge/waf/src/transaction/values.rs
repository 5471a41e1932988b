//! A transaction's bytes: every value once, with what is known of it, and the results of transformations beside it.

use crate::bytemap::ByteSet;
use crate::filter::Filters;
use crate::pipeline::Pipeline;
use crate::ruleset::RuleSet;
use crate::transform::Transformation;

/// A value's number within its transaction.
pub(crate) type ValueId = u32;

/// No value.
pub(crate) const NONE: ValueId = ValueId::MAX;

/// Room at the start, in values: what an ordinary request needs.
const VALUES: usize = 256;

/// Results of transformations that are kept from phase to phase, bytes; more are given back.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// All values of a transaction, in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Values {
    bytes: Vec<u8>,
    spans: Vec<(u32, u32)>,
    sets: Vec<ByteSet>,
    /// By value and transformation: the result's number and one, or 0 when it is not known yet.
    results: Vec<u32>,
    /// By value: the number of its row of `through` and one, or 0 before it has one.
    rows: Vec<u32>,
    /// By row and pipeline: the result's number and one, or 0.
    through: Vec<u32>,
    pipelines: usize,
    /// By value: its candidates, and whether they are known.
    candidates: Vec<u64>,
    scanned: Vec<bool>,
    /// By value: whether it is the result of a transformation.
    derived: Vec<bool>,
    derived_bytes: usize,
    words: usize,
    scratch: Vec<u8>,
    bytes_max: usize,
    full: bool,
}

impl Values {
    /// An empty buffer for a rule set's values, `bytes_max` bytes in all.
    pub(crate) fn new(set: &RuleSet, bytes_max: usize) -> Self {
        let words = set.filters.words();
        Self {
            bytes: Vec::with_capacity(4096),
            spans: Vec::with_capacity(VALUES),
            sets: Vec::with_capacity(VALUES),
            results: Vec::with_capacity(VALUES * Transformation::COUNT),
            rows: Vec::with_capacity(VALUES),
            pipelines: set.pipelines.len(),
            candidates: Vec::with_capacity(VALUES * words),
            scanned: Vec::with_capacity(VALUES),
            derived: Vec::with_capacity(VALUES),
            words,
            bytes_max,
            ..Self::default()
        }
    }

    /// Forgets all values and keeps the room they took.
    pub(crate) fn reset(&mut self, set: &RuleSet, bytes_max: usize) {
        self.bytes.clear();
        self.spans.clear();
        self.sets.clear();
        self.results.clear();
        self.rows.clear();
        self.through.clear();
        self.pipelines = set.pipelines.len();
        self.candidates.clear();
        self.scanned.clear();
        self.derived.clear();
        self.derived_bytes = 0;
        self.words = set.filters.words();
        self.bytes_max = bytes_max;
        self.full = false;
    }

    /// Whether a value did not fit any more. Values that did not fit are cut.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Keeps a value.
    pub(crate) fn push(&mut self, value: &[u8]) -> ValueId {
        let room = self.bytes_max.saturating_sub(self.bytes.len());
        self.full |= value.len() > room;
        let value = &value[..value.len().min(room)];
        self.keep(value, ByteSet::of(value))
    }

    fn has_room_for(&self, value: &[u8]) -> bool {
        value.len() <= self.bytes_max.saturating_sub(self.bytes.len())
    }

    fn keep(&mut self, value: &[u8], set: ByteSet) -> ValueId {
        let start = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(value);
        self.register(start, set)
    }

    fn register(&mut self, start: u32, set: ByteSet) -> ValueId {
        let id = u32::try_from(self.spans.len()).unwrap_or(NONE - 1);
        let end = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.spans.push((start, end));
        self.sets.push(set);
        self.results
            .resize(self.results.len() + Transformation::COUNT, 0);
        self.rows.push(0);
        self.candidates
            .resize(self.candidates.len() + self.words, 0);
        self.scanned.push(false);
        self.derived.push(false);
        id
    }

    /// Gives back what transformations wrote, if it is much: a request may live long after its rules. Values that were handed over
    /// keep their numbers.
    pub(crate) fn give_back(&mut self) {
        if self.derived_bytes <= KEPT_BYTES_MAX {
            return;
        }
        let mut bytes = Vec::with_capacity(self.bytes.len() - self.derived_bytes);
        for ((start, end), derived) in self.spans.iter_mut().zip(&self.derived) {
            let value = match derived {
                true => &[],
                false => &self.bytes[*start as usize..*end as usize],
            };
            let at = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            bytes.extend_from_slice(value);
            *start = at;
            *end = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        }
        self.bytes = bytes;
        self.derived_bytes = 0;
        self.results.fill(0);
        self.through.fill(0);
        self.scratch = Vec::new();
    }

    /// A value's bytes.
    #[inline]
    pub(crate) fn get(&self, id: ValueId) -> &[u8] {
        match self.spans.get(id as usize) {
            Some((start, end)) => &self.bytes[*start as usize..*end as usize],
            None => &[],
        }
    }

    /// The byte values in a value.
    #[inline]
    pub(crate) fn set(&self, id: ValueId) -> &ByteSet {
        &self.sets[id as usize]
    }

    /// The result of one transformation; the value itself if nothing changes.
    #[inline]
    pub(crate) fn transform(&mut self, id: ValueId, step: Transformation) -> ValueId {
        if step.may_leave() && !self.sets[id as usize].meets(step.touches()) {
            return id;
        }
        let place = id as usize * Transformation::COUNT + step as usize;
        match self.results[place].checked_sub(1) {
            Some(known) => known,
            None => self.apply(id, step, place),
        }
    }

    fn apply(&mut self, id: ValueId, step: Transformation, place: usize) -> ValueId {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        step.apply(self.get(id), &mut scratch);
        let result = if scratch == self.get(id) {
            id
        } else {
            let result = match step {
                Transformation::Lowercase if self.has_room_for(&scratch) => {
                    let set = self.sets[id as usize].lowered();
                    self.keep(&scratch, set)
                }
                _ => self.push(&scratch),
            };
            self.derived[result as usize] = true;
            self.derived_bytes += self.get(result).len();
            result
        };
        self.scratch = scratch;
        self.results[place] = result + 1;
        // The filters' literals are of no case, so what is lowered satisfies the same.
        if step == Transformation::Lowercase && result != id && self.scanned[id as usize] {
            let (from, to) = (id as usize * self.words, result as usize * self.words);
            self.candidates.copy_within(from..from + self.words, to);
            self.scanned[result as usize] = true;
        }
        result
    }

    /// The result of a pipeline, which is known by its number.
    #[inline]
    pub(crate) fn pipeline(&mut self, id: ValueId, number: u32, pipeline: &Pipeline) -> ValueId {
        if pipeline.leaves(&self.sets[id as usize]) {
            return id;
        }
        let row = match self.rows[id as usize].checked_sub(1) {
            Some(row) => row as usize,
            None => self.add_row(id),
        };
        let place = row * self.pipelines + number as usize;
        if let Some(known) = self.through[place].checked_sub(1) {
            return known;
        }
        let steps = pipeline.steps().iter();
        let result = steps.fold(id, |id, step| self.transform(id, *step));
        self.through[place] = result + 1;
        result
    }

    fn add_row(&mut self, id: ValueId) -> usize {
        let row = self.through.len() / self.pipelines.max(1);
        self.through.resize(self.through.len() + self.pipelines, 0);
        self.rows[id as usize] = u32::try_from(row + 1).unwrap_or(u32::MAX);
        row
    }

    /// The byte values in a value, and the filters that it satisfies by its literals.
    #[inline]
    pub(crate) fn sum(&mut self, id: ValueId, filters: &Filters) -> (&ByteSet, &[u64]) {
        if !self.scanned[id as usize] {
            self.scan(id, filters);
        }
        let start = id as usize * self.words;
        (
            &self.sets[id as usize],
            &self.candidates[start..start + self.words],
        )
    }

    #[inline(never)]
    fn scan(&mut self, id: ValueId, filters: &Filters) {
        self.scanned[id as usize] = true;
        let (start, end) = self.spans[id as usize];
        filters.scan(
            &self.bytes[start as usize..end as usize],
            &mut self.candidates[id as usize * self.words..(id as usize + 1) * self.words],
        );
    }
}
