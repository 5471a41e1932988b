//! What is stored, by slot, by key and by surrogate key, so that purges find it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use crate::entity::Entity;
use crate::key::KeyHash;
use crate::purge::{PurgeSelector, content_of};

#[derive(Debug, Default)]
pub(crate) struct Index {
    slots: HashMap<KeyHash, Arc<Entity>>,
    by_key: BTreeSet<(Arc<str>, KeyHash)>,
    /// Surrogate keys, and the content ids of media keys, which are looked for together.
    by_tag: HashMap<Arc<str>, HashSet<KeyHash>>,
    by_content: HashMap<Arc<str>, HashSet<KeyHash>>,
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn get(&self, slot: KeyHash) -> Option<&Arc<Entity>> {
        self.slots.get(&slot)
    }

    /// Everything stored under a key that satisfies `wanted`.
    pub(crate) fn any_key(&self, wanted: impl Fn(&str) -> bool) -> bool {
        self.by_key.iter().any(|(key, _)| wanted(key))
    }

    /// Enters an entity; returns what it takes the place of.
    pub(crate) fn enter(&mut self, entity: &Arc<Entity>) -> Option<Arc<Entity>> {
        let subject = &entity.subject;
        let former = self.leave(subject.slot);
        self.by_key
            .insert((Arc::clone(subject.key.text()), subject.slot));
        for tag in subject.tags.iter() {
            self.by_tag
                .entry(Arc::clone(tag))
                .or_default()
                .insert(subject.slot);
        }
        if let Some(content) = content_of(subject.key.text()) {
            self.by_content
                .entry(Arc::from(content))
                .or_default()
                .insert(subject.slot);
        }
        self.slots.insert(subject.slot, Arc::clone(entity));
        former.filter(|former| former.id != entity.id)
    }

    /// Strikes off what a slot holds.
    pub(crate) fn leave(&mut self, slot: KeyHash) -> Option<Arc<Entity>> {
        let entity = self.slots.remove(&slot)?;
        let subject = &entity.subject;
        self.by_key.remove(&(Arc::clone(subject.key.text()), slot));
        for tag in subject.tags.iter() {
            strike(&mut self.by_tag, tag, slot);
        }
        if let Some(content) = content_of(subject.key.text()) {
            strike(&mut self.by_content, content, slot);
        }
        Some(entity)
    }

    /// Strikes off an entity that left, unless another has its slot by now.
    pub(crate) fn forget(&mut self, entity: &Entity) -> bool {
        let slot = entity.subject.slot;
        let is_held = self
            .slots
            .get(&slot)
            .is_some_and(|held| held.id == entity.id);
        if is_held {
            self.leave(slot);
        }
        is_held
    }

    /// The slots that a purge reaches.
    pub(crate) fn matching(&self, selector: &PurgeSelector) -> Vec<KeyHash> {
        let of = |table: &HashMap<Arc<str>, HashSet<KeyHash>>, tag: &str| {
            table
                .get(tag)
                .into_iter()
                .flatten()
                .copied()
                .collect::<HashSet<_>>()
        };
        match selector {
            PurgeSelector::Key(key) => self
                .from(key)
                .take_while(|(text, _)| text == key)
                .map(|(_, slot)| *slot)
                .collect(),
            PurgeSelector::Prefix(prefix) => self
                .from(prefix)
                .take_while(|(text, _)| text.starts_with(&**prefix))
                .map(|(_, slot)| *slot)
                .collect(),
            PurgeSelector::SurrogateKey(tag) => of(&self.by_tag, tag).into_iter().collect(),
            PurgeSelector::ContentId(id) => of(&self.by_tag, id)
                .union(&of(&self.by_content, id))
                .copied()
                .collect(),
            PurgeSelector::Everything => self.slots.keys().copied().collect(),
        }
    }

    fn from(&self, key: &Arc<str>) -> impl Iterator<Item = &(Arc<str>, KeyHash)> {
        let from = (Arc::clone(key), KeyHash(0));
        self.by_key.range((Bound::Included(from), Bound::Unbounded))
    }
}

fn strike(table: &mut HashMap<Arc<str>, HashSet<KeyHash>>, tag: &str, slot: KeyHash) {
    if let Some(slots) = table.get_mut(tag) {
        slots.remove(&slot);
        if slots.is_empty() {
            table.remove(tag);
        }
    }
}
