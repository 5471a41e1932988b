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
        }
    }
}

impl Store {
    /// The members of a collection.
    pub(super) fn list(&self, variable: Variable) -> &[Entry] {
        &self.lists[variable as usize]
    }

    /// Adds a member.
    pub(super) fn add(&mut self, variable: Variable, name: ValueId, value: ValueId) {
        self.lists[variable as usize].push(Entry { name, value });
    }

    /// Sets a plain variable.
    pub(super) fn put(&mut self, values: &mut Values, variable: Variable, value: &[u8]) {
        let value = values.push(value);
        let list = &mut self.lists[variable as usize];
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
