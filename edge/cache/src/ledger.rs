//! Who is who: generations, fetches and fills in flight, what is stored, and what has left but is still read.
//!
//! One lock guards all of it, and every admission and purge happens under that lock, so that each fill is either stored
//! before a purge (and then purged with the rest) or sees it. Fresh hits never take it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use crate::account::Share;
use crate::entity::{Entity, Subject};
use crate::flight::Flight;
use crate::index::Index;
use crate::key::{Key, KeyHash, OwnedKey};
use crate::memories::{Memories, MissReason};
use crate::past::Past;
use crate::purge::PurgeSelector;
use crate::vary::{Selecting, Variant};

/// One in so many of those that linger may be gone before they are looked through.
const GONE_PART: usize = 4;

/// An entity that somebody still had when it left. The share is that of its place, which is not free before it is forgotten here.
#[derive(Debug)]
struct Lingering {
    entity: Weak<Entity>,
    _place: Option<Share>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) past: Past,
    pub(crate) index: Index,
    /// Entities in flight that newcomers may read, by the hash of their key.
    filling: HashMap<KeyHash, Vec<Arc<Entity>>>,
    filling_count: usize,
    /// Fetches whose head has not come, by the slot that it is expected for.
    flights: HashMap<KeyHash, Arc<Flight>>,
    /// Entities that are neither stored nor listed, and that somebody still had when they left.
    lingering: Vec<Lingering>,
    /// How many of them are gone, as far as they were not looked through since.
    gone: Arc<AtomicUsize>,
    /// Why a key has nothing.
    pub(crate) misses: Memories<MissReason>,
    /// In which purge generation the first of the variants that the disk has of a key was asked for, by
    /// [`KeyHash::of_variants`].
    pub(crate) variants_since: Memories<u64>,
}

/// What a purge reaches.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    pub(crate) stored: Vec<KeyHash>,
    pub(crate) fills: Vec<Arc<Entity>>,
    pub(crate) lingering: Vec<Arc<Entity>>,
    pub(crate) flights: Vec<Arc<Flight>>,
}

impl Ledger {
    /// Nothing stored, after the purges of earlier runs.
    pub(crate) fn with_past(past: Past) -> Self {
        Self {
            past,
            ..Self::default()
        }
    }

    pub(crate) fn fills(&self) -> usize {
        self.filling_count
    }

    /// The newest entity in flight that a request may read.
    pub(crate) fn filling(&self, key: Key<'_>, request: &dyn Selecting) -> Option<&Arc<Entity>> {
        let list = self.filling.get(&key.hash())?;
        list.iter().rev().find(|entity| {
            **entity.key().text() == *key.text()
                && !entity.is_withdrawn()
                && entity.variant().matches(request)
        })
    }

    /// All entities in flight under a key, the newest last.
    pub(crate) fn filling_of<'a>(&'a self, key: Key<'a>) -> impl Iterator<Item = &'a Arc<Entity>> {
        self.filling
            .get(&key.hash())
            .into_iter()
            .flatten()
            .filter(move |entity| **entity.key().text() == *key.text())
    }

    /// Is anything in flight under a key with `needle` in it?
    pub(crate) fn fills_key_with(&self, needle: &str) -> bool {
        let mut filling = self.filling.values().flatten();
        filling.any(|entity| entity.key().text().contains(needle))
    }

    /// Lets newcomers read an entity in flight.
    pub(crate) fn list(&mut self, entity: &Arc<Entity>) {
        let list = self.filling.entry(entity.key().hash()).or_default();
        if list.iter().all(|listed| listed.id != entity.id) {
            list.push(Arc::clone(entity));
            self.filling_count += 1;
        }
    }

    pub(crate) fn unlist(&mut self, entity: &Entity) {
        let hash = entity.key().hash();
        let Some(list) = self.filling.get_mut(&hash) else {
            return;
        };
        let before = list.len();
        list.retain(|listed| listed.id != entity.id);
        self.filling_count -= before - list.len();
        if list.is_empty() {
            self.filling.remove(&hash);
        }
    }

    /// The fetch that a request for `slot` may wait for.
    pub(crate) fn flight(&self, slot: KeyHash, key: Key<'_>) -> Option<&Arc<Flight>> {
        self.flights
            .get(&slot)
            .filter(|flight| **flight.key.text() == *key.text())
    }

    pub(crate) fn enter_flight(&mut self, flight: &Arc<Flight>) {
        self.flights.insert(flight.slot, Arc::clone(flight));
    }

    pub(crate) fn leave_flight(&mut self, flight: &Flight) {
        if self
            .flights
            .get(&flight.slot)
            .is_some_and(|held| held.id == flight.id)
        {
            self.flights.remove(&flight.slot);
        }
    }

    /// Keeps an eye on an entity that is not stored any more, as long as somebody else has it.
    pub(crate) fn linger(&mut self, entity: &Arc<Entity>) {
        if !entity.begin_to_linger(&self.gone) {
            return;
        }
        self.lingering.push(Lingering {
            entity: Arc::downgrade(entity),
            _place: entity.place_share(),
        });
        self.forget_many_gone();
    }

    /// Forgets those that are gone, which gives back the memory of their places, if they are many among those that linger;
    /// says whether they were.
    pub(crate) fn forget_many_gone(&mut self) -> bool {
        let are_many = self.gone.load(Ordering::Relaxed) > self.lingering.len() / GONE_PART;
        if are_many {
            self.forget_gone();
        }
        are_many
    }

    /// Forgets those that are gone, however few.
    pub(crate) fn forget_gone(&mut self) {
        self.gone.store(0, Ordering::Relaxed);
        self.lingering.retain(|held| held.entity.strong_count() > 0);
    }

    /// Takes what a purge matches out of reach of newcomers. What it reaches of the stored is left to the caller.
    pub(crate) fn reach(&mut self, selector: &PurgeSelector) -> Reached {
        let stored = self.index.matching(selector);
        let matches = |entity: &Entity| selector.matches(&entity.subject);
        let fills = self.filling.values().flatten();
        let fills = fills.filter(|entity| matches(entity)).cloned().collect();
        // Their surrogate keys are not known yet; those that turn out to be reached are found out at their head.
        let is_reached = |flight: &Flight| {
            selector.matches(&Subject {
                key: flight.key.clone(),
                slot: flight.slot,
                variant: Variant::default(),
                tags: Arc::default(),
            })
        };
        self.take(stored, fills, matches, is_reached)
    }

    /// The same for one key, which clients may ask for as often as they like: what is not of it is passed by quickly.
    pub(crate) fn reach_key(&mut self, key: Key<'_>) -> Reached {
        let is_it = |held: &OwnedKey| held.hash() == key.hash() && **held.text() == *key.text();
        let one = PurgeSelector::Key(Arc::from(key.text()));
        let stored = self.index.matching(&one);
        let fills = self.filling_of(key).cloned().collect();
        self.take(
            stored,
            fills,
            |entity| is_it(entity.key()),
            |flight| is_it(&flight.key),
        )
    }

    fn take(
        &mut self,
        stored: Vec<KeyHash>,
        fills: Vec<Arc<Entity>>,
        matches: impl Fn(&Entity) -> bool,
        is_reached: impl Fn(&Flight) -> bool,
    ) -> Reached {
        for entity in &fills {
            self.unlist(entity);
        }
        let lingering = self.lingering.iter();
        let lingering = lingering.filter_map(|held| held.entity.upgrade());
        let lingering = lingering.filter(|entity| matches(entity)).collect();
        let flights = self.flights.values();
        let flights: Vec<_> = flights
            .filter(|flight| is_reached(flight))
            .cloned()
            .collect();
        for flight in &flights {
            self.leave_flight(flight);
        }
        Reached {
            stored,
            fills,
            lingering,
            flights,
        }
    }
}
