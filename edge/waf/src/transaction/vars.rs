//! Transaction variables: those with fixed names in slots, those with computed names in a bounded list.

use std::borrow::Cow;
use std::sync::Arc;

use crate::operator::leading_number;
use crate::ruleset::Names;

/// A transaction variable's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TxValue {
    Number(i64),
    Text(Arc<[u8]>),
}

impl TxValue {
    pub(crate) fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            Self::Text(text) => leading_number(text),
        }
    }

    pub(super) fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Number(number) => Cow::Owned(number.to_string().into_bytes()),
            Self::Text(text) => Cow::Borrowed(text),
        }
    }
}

/// The `TX` collection.
#[derive(Debug, Default)]
pub(crate) struct Vars {
    slots: Vec<Option<TxValue>>,
    computed: Vec<(Box<[u8]>, TxValue)>,
    computed_max: usize,
}

impl Vars {
    pub(super) fn reset(&mut self, slots: usize, computed_max: usize) {
        self.slots.clear();
        self.slots.resize(slots, None);
        self.computed.clear();
        self.computed_max = computed_max;
    }

    pub(crate) fn slot(&self, slot: u32) -> Option<&TxValue> {
        self.slots.get(slot as usize).and_then(Option::as_ref)
    }

    pub(super) fn set_slot(&mut self, slot: u32, value: Option<TxValue>) {
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = value;
        }
    }

    /// A variable by its name in lower case.
    pub(super) fn get(&self, names: &Names, name: &[u8]) -> Option<&TxValue> {
        match names.slot(name) {
            Some(slot) => self.slot(slot),
            None => self
                .computed
                .iter()
                .find(|(known, _)| **known == *name)
                .map(|(_, value)| value),
        }
    }

    /// Sets a variable by its name in lower case; beyond the bound, new names are not kept.
    pub(super) fn set(&mut self, names: &Names, name: &[u8], value: Option<TxValue>) {
        if let Some(slot) = names.slot(name) {
            return self.set_slot(slot, value);
        }
        let at = self.computed.iter().position(|(known, _)| **known == *name);
        match (at, value) {
            (Some(at), Some(value)) => self.computed[at].1 = value,
            (Some(at), None) => drop(self.computed.remove(at)),
            (None, Some(value)) if self.computed.len() < self.computed_max => {
                self.computed.push((name.into(), value));
            }
            (None, _) => {}
        }
    }

    /// All variables with their names.
    pub(super) fn all<'a>(
        &'a self,
        names: &'a Names,
    ) -> impl Iterator<Item = (&'a [u8], &'a TxValue)> {
        let fixed = names
            .list
            .iter()
            .zip(&self.slots)
            .filter_map(|(name, value)| Some((name.as_ref(), value.as_ref()?)));
        fixed.chain(self.computed())
    }

    /// Those with computed names.
    pub(super) fn computed(&self) -> impl Iterator<Item = (&[u8], &TxValue)> {
        let computed = self.computed.iter();
        computed.map(|(name, value)| (name.as_ref(), value))
    }
}
