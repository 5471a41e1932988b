//! The collections that a request and its response fill.

use super::values::{NONE, ValueId, Values};
use crate::lang::variables::Variable;

/// A member of a collection; a plain variable has one without a name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) name: ValueId,
    pub(super) value: ValueId,
}

/// Collections by variable.
#[derive(Debug)]
pub(super) struct Store {
    lists: Vec<Vec<Entry>>,
    /// Counts changes, from 1.
    edition: u32,
    /// By variable: the edition of its last change.
    editions: [u32; Variable::COUNT],
}

/// Whether a variable's values are kept here; the others are worked out when a rule asks.
pub(crate) fn is_stored(variable: Variable) -> bool {
    use Variable as V;
    !(variable.is_persistent()
        || variable.tells_time()
        || matches!(
            variable,
            V::Tx
                | V::MatchedVar
                | V::MatchedVarName
                | V::MatchedVars
                | V::MatchedVarsNames
                | V::Rule
                | V::HighestSeverity
        ))
}

impl Default for Store {
    fn default() -> Self {
        Self {
            lists: vec![Vec::new(); Variable::COUNT],
            edition: 1,
            editions: [1; Variable::COUNT],
        }
    }
}

impl Store {
    /// The members of a collection.
    pub(super) fn list(&self, variable: Variable) -> &[Entry] {
        &self.lists[variable as usize]
    }

    /// Tells whether anything has changed.
    #[inline]
    pub(super) fn edition(&self) -> u32 {
        self.edition
    }

    /// Tells whether a collection has changed.
    #[inline]
    pub(super) fn edition_of(&self, variable: Variable) -> u32 {
        self.editions[variable as usize]
    }

    fn change(&mut self, variable: Variable) -> &mut Vec<Entry> {
        self.edition = self.edition.saturating_add(1);
        self.editions[variable as usize] = self.edition;
        &mut self.lists[variable as usize]
    }

    /// Adds a member.
    pub(super) fn add(&mut self, variable: Variable, name: ValueId, value: ValueId) {
        self.change(variable).push(Entry { name, value });
    }

    /// Sets a plain variable.
    pub(super) fn put(&mut self, values: &mut Values, variable: Variable, value: &[u8]) {
        let value = values.push(value);
        self.put_known(variable, value);
    }

    /// Sets a plain variable to a value that another has as well.
    pub(super) fn put_known(&mut self, variable: Variable, value: ValueId) {
        let list = self.change(variable);
        list.clear();
        list.push(Entry { name: NONE, value });
    }

    /// Adds a member of a collection and of the collection of its names.
    pub(super) fn add_named(
        &mut self,
        collection: Variable,
        names: Variable,
        name: ValueId,
        value: ValueId,
    ) {
        self.add(collection, name, value);
        self.add(names, name, name);
    }
}
