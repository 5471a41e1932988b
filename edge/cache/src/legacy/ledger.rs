//! Who is who: generations, fills in flight, and the index that purges use.
//!
//! One lock guards all of it, and every admission and purge happens under that lock, so that each fill is either
//! admitted before a purge (and then purged with the rest) or sees it. Fresh hits never take it.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use pingora_cache::key::HashBinary;

use crate::legacy::fill::Fill;
use crate::legacy::object::{Object, Subject};
use crate::legacy::purge::{PurgeSelector, Target};

/// Purges that are remembered one by one for fills that were asked for before them. A fill that is older than the
/// oldest one remembered counts as purged.
const HISTORY_MAX: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    generation: u64,
    history: VecDeque<(u64, Target)>,
    /// Purges up to this generation are remembered no more.
    history_floor: u64,
    objects: HashMap<HashBinary, Indexed>,
    by_path: BTreeSet<(Arc<str>, HashBinary)>,
    by_tag: HashMap<Arc<str>, HashSet<HashBinary>>,
    fills: HashMap<u64, Arc<Fill>>,
    /// The fill of a key that newcomers may join.
    joinable: HashMap<HashBinary, u64>,
}

#[derive(Debug)]
struct Indexed {
    object_id: u64,
    subject: Subject,
}

/// What a purge reaches.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) generation: u64,
    pub(crate) objects: Vec<HashBinary>,
    pub(crate) fills: usize,
}

impl Ledger {
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn objects(&self) -> usize {
        self.objects.len()
    }

    pub(crate) fn fills(&self) -> usize {
        self.fills.len()
    }

    /// Does any object's path satisfy `wanted`?
    pub(crate) fn any_path(&self, wanted: impl Fn(&str) -> bool) -> bool {
        self.by_path.iter().any(|(path, _)| wanted(path))
    }

    /// Was the subject purged after `generation`?
    fn purged_since(&self, generation: u64, subject: &Subject) -> bool {
        generation < self.history_floor
            || self
                .history
                .iter()
                .rev()
                .take_while(|(purge, _)| *purge > generation)
                .any(|(_, target)| target.matches(subject))
    }

    /// Enters a fill. Newcomers may join it unless it was purged since it was asked for.
    pub(crate) fn begin(&mut self, fill: &Arc<Fill>) {
        if self.purged_since(fill.generation, &fill.subject) {
            fill.supersede();
        } else {
            self.joinable.insert(fill.subject.hash, fill.id);
        }
        self.fills.insert(fill.id, Arc::clone(fill));
    }

    /// A fill by its id, for the request that writes it.
    pub(crate) fn fill(&self, id: u64) -> Option<Arc<Fill>> {
        self.fills.get(&id).cloned()
    }

    /// The fill that a newcomer may join.
    pub(crate) fn joinable(&self, hash: &HashBinary) -> Option<Arc<Fill>> {
        self.joinable.get(hash).and_then(|id| self.fill(*id))
    }

    /// Strikes out a fill that is over.
    pub(crate) fn end(&mut self, fill: &Fill) {
        self.fills.remove(&fill.id);
        self.part(fill);
    }

    fn part(&mut self, fill: &Fill) {
        if self.joinable.get(&fill.subject.hash) == Some(&fill.id) {
            self.joinable.remove(&fill.subject.hash);
        }
    }

    /// Enters an object in place of whatever had its key.
    pub(crate) fn index(&mut self, object: &Object) {
        let subject = &object.subject;
        self.unindex(&subject.hash);
        self.by_path
            .insert((Arc::clone(&subject.path), subject.hash));
        for tag in subject.tags.iter() {
            self.by_tag
                .entry(Arc::clone(tag))
                .or_default()
                .insert(subject.hash);
        }
        self.objects.insert(
            subject.hash,
            Indexed {
                object_id: object.id,
                subject: subject.clone(),
            },
        );
    }

    /// Forgets an object that left, unless another has its key by now.
    pub(crate) fn forget(&mut self, object: &Object) {
        let hash = object.subject.hash;
        if self
            .objects
            .get(&hash)
            .is_some_and(|held| held.object_id == object.id)
        {
            self.unindex(&hash);
        }
    }

    fn unindex(&mut self, hash: &HashBinary) {
        let Some(Indexed { subject, .. }) = self.objects.remove(hash) else {
            return;
        };
        for tag in subject.tags.iter() {
            if let Some(hashes) = self.by_tag.get_mut(tag) {
                hashes.remove(hash);
                if hashes.is_empty() {
                    self.by_tag.remove(tag);
                }
            }
        }
        self.by_path.remove(&(subject.path, *hash));
    }

    /// Opens a new generation, takes what the purge matches out of reach of newcomers, and names the objects it
    /// matches. Hard purges are struck off the index here.
    pub(crate) fn purge(&mut self, target: Target, soft: bool) -> Reached {
        self.generation += 1;
        let fills: Vec<Arc<Fill>> = self
            .fills
            .values()
            .filter(|fill| target.matches(&fill.subject) && !fill.is_superseded())
            .cloned()
            .collect();
        for fill in &fills {
            fill.supersede();
            self.part(fill);
        }
        let objects = self.matching(&target);
        if !soft {
            for hash in &objects {
                self.unindex(hash);
            }
        }
        self.remember(target);
        Reached {
            generation: self.generation,
            objects,
            fills: fills.len(),
        }
    }

    fn remember(&mut self, target: Target) {
        if matches!(target, Target::Named(PurgeSelector::Everything)) {
            self.history.clear();
            self.history_floor = self.generation;
            return;
        }
        if self.history.len() == HISTORY_MAX
            && let Some((forgotten, _)) = self.history.pop_front()
        {
            self.history_floor = forgotten;
        }
        self.history.push_back((self.generation, target));
    }

    fn matching(&self, target: &Target) -> Vec<HashBinary> {
        let with_prefix = |prefix: &Arc<str>| {
            let from = (Arc::clone(prefix), HashBinary::default());
            self.by_path
                .range((Bound::Included(from), Bound::Unbounded))
                .take_while(|(path, _)| path.starts_with(&**prefix))
                .cloned()
                .collect::<Vec<_>>()
        };
        match target {
            Target::Hash(hash) => self
                .objects
                .contains_key(hash)
                .then_some(*hash)
                .into_iter()
                .collect(),
            Target::Named(PurgeSelector::Key(key)) => with_prefix(key)
                .into_iter()
                .filter(|(path, _)| path == key)
                .map(|(_, hash)| hash)
                .collect(),
            Target::Named(PurgeSelector::Prefix(prefix)) => with_prefix(prefix)
                .into_iter()
                .map(|(_, hash)| hash)
                .collect(),
            Target::Named(PurgeSelector::SurrogateKey(tag)) => self
                .by_tag
                .get(tag)
                .into_iter()
                .flatten()
                .copied()
                .collect(),
            Target::Named(PurgeSelector::Everything) => self.objects.keys().copied().collect(),
        }
    }
}
