//! What is known of values that are filtered together: the bytes and the literals that any of them has.
//!
//! Hundreds of rules ask about the same few collections, after pipelines that most values go through unchanged. So a collection's
//! own values are summed up once, and a pipeline's sum is made of that one: steps that find nothing to do leave it, and only where
//! one may have something to do are the values looked at themselves. A sum may have more than its values; rules look at each
//! value's own before they run.

use super::Transaction;
use super::dynamic::selects;
use super::store::Entry;
use super::values::ValueId;
use crate::bytemap::ByteSet;
use crate::filter::FilterId;
use crate::pipeline::Pipeline;
use crate::ruleset::{RuleSet, Unit, Which};

/// Sums by unit, and by group of units.
#[derive(Debug, Default)]
pub(super) struct Units {
    units: Sums,
    groups: Sums,
    /// Room for what a pipeline changes.
    changed: Vec<Entry>,
}

/// Bytes and candidates of one thing after another.
#[derive(Debug, Default)]
struct Sums {
    /// By thing: the edition of what it sums up; 0 before there is a sum.
    editions: Vec<u32>,
    bytes: Vec<ByteSet>,
    candidates: Vec<u64>,
    /// Words of candidates.
    words: usize,
}

impl Sums {
    fn resize(&mut self, things: usize, words: usize) {
        self.words = words;
        self.editions.resize(things, 0);
        self.bytes.resize(things, ByteSet::EMPTY);
        self.candidates.resize(things * words, 0);
    }

    #[inline]
    fn is_of(&self, at: usize, edition: u32) -> bool {
        self.editions[at] == edition
    }

    /// Begins a sum anew, empty.
    fn begin(&mut self, at: usize, edition: u32) {
        self.editions[at] = edition;
        self.bytes[at] = ByteSet::EMPTY;
        self.candidates[at * self.words..(at + 1) * self.words].fill(0);
    }

    /// Begins a sum with another's.
    fn begin_with(&mut self, at: usize, edition: u32, from: usize) {
        self.editions[at] = edition;
        self.bytes[at] = self.bytes[from];
        let start = from * self.words;
        self.candidates
            .copy_within(start..start + self.words, at * self.words);
    }

    #[inline]
    fn add(&mut self, at: usize, bytes: &ByteSet, candidates: &[u64]) {
        self.bytes[at].extend(bytes);
        let mine = &mut self.candidates[at * self.words..(at + 1) * self.words];
        for (mine, theirs) in mine.iter_mut().zip(candidates) {
            *mine |= theirs;
        }
    }

    #[inline]
    fn get(&self, at: usize) -> (&ByteSet, &[u64]) {
        let start = at * self.words;
        (&self.bytes[at], &self.candidates[start..start + self.words])
    }
}

impl Units {
    /// Makes room for a rule set's.
    pub(super) fn resize(&mut self, set: &RuleSet) {
        let words = set.filters.words();
        self.units.resize(set.units.len(), words);
        self.groups.resize(set.groups.len(), words);
    }
}

impl Transaction {
    /// Whether any value of a group's units may match.
    #[inline]
    pub(super) fn group_passes(&mut self, set: &RuleSet, group: u32, filter: FilterId) -> bool {
        let at = group as usize;
        let units = set.groups[at].as_slice();
        let edition = self.store.edition();
        if !self.units.groups.is_of(at, edition) {
            self.sum_up_group(set, at, edition);
        }
        let (bytes, candidates) = self.units.groups.get(at);
        // What one unit has of the literals, another may have of the bytes.
        set.filters.passes(filter, candidates, bytes)
            && units.iter().any(|unit| {
                let (bytes, candidates) = self.units.units.get(*unit as usize);
                set.filters.passes(filter, candidates, bytes)
            })
    }

    fn sum_up_group(&mut self, set: &RuleSet, at: usize, edition: u32) {
        self.units.groups.begin(at, edition);
        for unit in &set.groups[at] {
            let unit = *unit as usize;
            // Most collections have nothing in most requests, and never had.
            let collection = set.units[unit].member.variable;
            if self.store.list(collection).is_empty() {
                continue;
            }
            self.ensure_unit(set, unit);
            let (bytes, candidates) = self.units.units.get(unit);
            self.units.groups.add(at, bytes, candidates);
        }
    }

    fn ensure_unit(&mut self, set: &RuleSet, at: usize) {
        let unit = &set.units[at];
        let edition = self.store.edition_of(unit.member.variable);
        if self.units.units.is_of(at, edition) {
            return;
        }
        let base = unit.base as usize;
        if base == at {
            self.sum_up_values(set, at, edition);
            return;
        }
        self.ensure_unit(set, base);
        self.units.units.begin_with(at, edition, base);
        let pipeline = &set.pipelines[unit.pipeline as usize];
        let bytes = &mut self.units.units.bytes[at];
        let leaves = pipeline.leaves_but_case(bytes);
        // Literals have no case.
        if pipeline.lowers() {
            let lowered = bytes.lowered();
            match leaves && !unit.steps {
                true => *bytes = lowered,
                false => bytes.extend(&lowered),
            }
        }
        if !leaves {
            self.add_results(set, at, unit, pipeline);
        }
    }

    /// Of a collection as it is.
    fn sum_up_values(&mut self, set: &RuleSet, at: usize, edition: u32) {
        self.units.units.begin(at, edition);
        let unit = &set.units[at];
        for index in 0..self.store.list(unit.member.variable).len() {
            let entry = self.store.list(unit.member.variable)[index];
            if self.is_member(&unit.member.which, entry) {
                self.add_value(set, at, entry.value);
            }
        }
    }

    /// Adds what a pipeline makes of those values to which it does more than to make their letters small.
    fn add_results(&mut self, set: &RuleSet, at: usize, unit: &Unit, pipeline: &Pipeline) {
        let mut changed = std::mem::take(&mut self.units.changed);
        let entries = self.store.list(unit.member.variable).iter();
        let is_changed = |entry: &&Entry| !pipeline.leaves_but_case(self.values.set(entry.value));
        changed.extend(entries.filter(is_changed));
        for entry in changed.drain(..) {
            if !self.is_member(&unit.member.which, entry) {
                continue;
            }
            if !unit.steps {
                let value = self.values.pipeline(entry.value, unit.pipeline, pipeline);
                self.add_value(set, at, value);
                continue;
            }
            let mut value = entry.value;
            for step in pipeline.steps() {
                let result = self.values.transform(value, *step);
                if result != value {
                    value = result;
                    self.add_value(set, at, value);
                }
            }
        }
        self.units.changed = changed;
    }

    fn add_value(&mut self, set: &RuleSet, at: usize, value: ValueId) {
        let (bytes, candidates) = self.values.sum(value, &set.filters);
        self.units.units.add(at, bytes, candidates);
    }

    #[inline]
    pub(super) fn is_member(&self, which: &Which, entry: Entry) -> bool {
        matches!(which, Which::All) || selects(which, self.values.get(entry.name))
    }
}
