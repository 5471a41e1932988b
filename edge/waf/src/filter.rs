//! The prefilter: one pass over a value tells which rules' operators can match it.

use std::collections::HashMap;

use crate::bytemap::ByteSet;
use crate::literals::Literals;
use crate::pattern::require::Requirement;

/// A filter's number.
pub(crate) type FilterId = u32;

/// All filters of a rule set.
#[derive(Debug)]
pub(crate) struct Filters {
    literals: Literals,
    /// By literal: the filters that it satisfies.
    owners: Vec<Vec<FilterId>>,
    /// Filters without literals: always candidates.
    always: Vec<u64>,
    /// By filter: a byte that must be there.
    bytes: Vec<ByteSet>,
}

impl Filters {
    /// Words of a candidate set.
    #[inline]
    pub(crate) fn words(&self) -> usize {
        self.always.len()
    }

    /// Adds the candidates of a value to `candidates`.
    pub(crate) fn scan(&self, value: &[u8], candidates: &mut [u64]) {
        for (mine, always) in candidates.iter_mut().zip(&self.always) {
            *mine |= always;
        }
        self.literals.find(value, |literal| {
            for &filter in &self.owners[literal as usize] {
                candidates[filter as usize / 64] |= 1 << (filter % 64);
            }
        });
    }

    /// Whether a value with these bytes and these candidates can match.
    #[inline]
    pub(crate) fn passes(&self, filter: FilterId, candidates: &[u64], bytes: &ByteSet) -> bool {
        candidates[filter as usize / 64] & (1 << (filter % 64)) != 0
            && self.bytes[filter as usize].meets(bytes)
    }
}

/// A requirement's literals and bytes.
type Key = (Option<Vec<Vec<u8>>>, [u8; 32]);

/// Collects requirements, then builds the filters.
#[derive(Debug, Default)]
pub(crate) struct FilterBuilder {
    literals: HashMap<Vec<u8>, Vec<FilterId>>,
    known: HashMap<Key, FilterId>,
    unconditional: Vec<FilterId>,
    bytes: Vec<ByteSet>,
}

impl FilterBuilder {
    /// The filter of a requirement, if it asks for anything.
    pub(crate) fn add(&mut self, requirement: Requirement) -> Option<FilterId> {
        if requirement.literals.is_none() && requirement.bytes.is_none() {
            return None;
        }
        let bytes = requirement.bytes.unwrap_or(ByteSet::ALL);
        let key = (requirement.literals, bytes.to_bits());
        if let Some(known) = self.known.get(&key) {
            return Some(*known);
        }
        let filter = u32::try_from(self.bytes.len()).ok()?;
        self.bytes.push(bytes);
        match &key.0 {
            Some(literals) => {
                for literal in literals {
                    self.literals
                        .entry(literal.clone())
                        .or_default()
                        .push(filter);
                }
            }
            None => self.unconditional.push(filter),
        }
        self.known.insert(key, filter);
        Some(filter)
    }

    /// Builds the filters.
    pub(crate) fn build(self) -> Filters {
        let mut always = vec![0u64; self.bytes.len().div_ceil(64)];
        for filter in self.unconditional {
            always[filter as usize / 64] |= 1 << (filter % 64);
        }
        let mut literals: Vec<_> = self.literals.into_iter().collect();
        literals.sort();
        Filters {
            literals: Literals::new(literals.iter().map(|(literal, _)| literal.as_slice())),
            owners: literals.into_iter().map(|(_, owners)| owners).collect(),
            always,
            bytes: self.bytes,
        }
    }
}
