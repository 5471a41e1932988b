//! The purges so far, to hold against whatever was asked for before them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::purge::{Purge, PurgeSelector, content_of};

/// Purges that are remembered one by one. What is older than the oldest one remembered counts as purged.
pub(crate) const HISTORY_MAX: usize = 65_536;
/// Bytes that those may take, likewise; see [`record_bytes`].
pub(crate) const HISTORY_BYTES_MAX: usize = 16 << 20;
/// Bytes of a purge beside its text, in memory and in the log.
const RECORD_BYTES: usize = 192;

/// Bytes that a purge is counted as: what it takes in memory, or in the log if that is more, at most.
pub(crate) fn record_bytes(purge: &Purge) -> usize {
    let text = match &purge.selector {
        PurgeSelector::Key(text)
        | PurgeSelector::Prefix(text)
        | PurgeSelector::SurrogateKey(text)
        | PurgeSelector::ContentId(text) => text.as_bytes(),
        PurgeSelector::Everything => &[],
    };
    let escaped = |byte: &u8| match byte {
        // As `\u001f`, and with a backslash.
        0..0x20 => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    RECORD_BYTES + text.iter().map(escaped).sum::<usize>()
}

/// A purge with the generation that it opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeRecord {
    /// The generation.
    pub generation: u64,
    /// The purge.
    #[serde(flatten)]
    pub purge: Purge,
}

/// The newest purges of each mode that reach something; 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) hard: u64,
    pub(crate) soft: u64,
}

impl Last {
    fn newest_of(self, other: Self) -> Self {
        Self {
            hard: self.hard.max(other.hard),
            soft: self.soft.max(other.soft),
        }
    }

    fn of(&mut self, soft: bool) -> &mut u64 {
        if soft { &mut self.soft } else { &mut self.hard }
    }

    /// The newest of either mode.
    pub(crate) fn any(self) -> u64 {
        self.hard.max(self.soft)
    }
}

#[derive(Debug, Default)]
pub(crate) struct History {
    generation: u64,
    everything: Last,
    keys: HashMap<Arc<str>, Last>,
    tags: HashMap<Arc<str>, Last>,
    contents: HashMap<Arc<str>, Last>,
    prefixes: HashMap<Arc<str>, Last>,
    /// How many prefixes of each length there are.
    prefix_lengths: BTreeMap<usize, usize>,
    /// Every purge that still says something, the oldest first.
    order: BTreeMap<u64, Purge>,
    /// Bytes of those.
    bytes: usize,
    /// Purges up to this generation are remembered no more, and count as hard purges of everything.
    floor: u64,
}

impl History {
    /// Goes on from a generation.
    pub(crate) fn starting_at(generation: u64) -> Self {
        Self {
            generation,
            ..Self::default()
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Opens a new generation with a purge.
    pub(crate) fn purge(&mut self, purge: &Purge) -> PurgeRecord {
        let record = PurgeRecord {
            generation: self.generation + 1,
            purge: purge.clone(),
        };
        self.replay(&record);
        record
    }

    /// Enters a purge of an earlier run. Generations only ever go up.
    pub(crate) fn replay(&mut self, record: &PurgeRecord) {
        let PurgeRecord { generation, purge } = record;
        self.generation = self.generation.max(*generation);
        if purge.selector == PurgeSelector::Everything && !purge.soft {
            // It says all that those before it said.
            let floor = self.floor;
            let now = self.generation;
            *self = Self::starting_at(now);
            self.floor = floor;
        }
        let former = std::mem::replace(self.last_mut(&purge.selector).of(purge.soft), *generation);
        if let Some(former) = self.order.remove(&former) {
            self.bytes -= record_bytes(&former);
        }
        self.order.insert(*generation, purge.clone());
        self.bytes += record_bytes(purge);
        while (self.order.len() > HISTORY_MAX || self.bytes > HISTORY_BYTES_MAX)
            && let Some((oldest, forgotten)) = self.order.pop_first()
        {
            self.bytes -= record_bytes(&forgotten);
            self.floor = self.floor.max(oldest);
            self.forget(oldest, &forgotten);
        }
    }

    /// Bytes that the purges take; at most [`HISTORY_BYTES_MAX`].
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts everything up to now as purged: the purges so far are not known.
    pub(crate) fn distrust(&mut self) {
        self.floor = self.generation;
    }

    /// What has to be kept to know all this again.
    pub(crate) fn records(&self) -> Vec<PurgeRecord> {
        self.order
            .iter()
            .map(|(generation, purge)| PurgeRecord {
                generation: *generation,
                purge: purge.clone(),
            })
            .collect()
    }

    /// Goes on at a later generation; never back.
    pub(crate) fn advance_to(&mut self, generation: u64) {
        self.generation = self.generation.max(generation);
    }

    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    pub(crate) fn set_floor(&mut self, floor: u64) {
        self.floor = floor;
        self.generation = self.generation.max(floor);
    }

    /// The purges after `generation` that reach a key with these surrogate keys.
    pub(crate) fn since(&self, generation: u64, key: &str, tags: &[Arc<str>]) -> Last {
        let mut last = self.everything;
        let mut add = |found: Option<&Last>| {
            if let Some(found) = found {
                last = last.newest_of(*found);
            }
        };
        add(self.keys.get(key));
        for tag in tags {
            add(self.tags.get(tag));
            add(self.contents.get(tag));
        }
        if let Some(content) = content_of(key) {
            add(self.contents.get(content));
        }
        for length in self
            .prefix_lengths
            .range(..=key.len())
            .map(|(length, _)| *length)
        {
            add(key
                .get(..length)
                .and_then(|prefix| self.prefixes.get(prefix)));
        }
        if generation < self.floor {
            last.hard = last.hard.max(self.floor);
        }
        let after = |purge: u64| if purge > generation { purge } else { 0 };
        Last {
            hard: after(last.hard),
            soft: after(last.soft),
        }
    }

    fn last_mut(&mut self, selector: &PurgeSelector) -> &mut Last {
        match selector {
            PurgeSelector::Everything => &mut self.everything,
            PurgeSelector::Key(key) => self.keys.entry(Arc::clone(key)).or_default(),
            PurgeSelector::SurrogateKey(tag) => self.tags.entry(Arc::clone(tag)).or_default(),
            PurgeSelector::ContentId(id) => self.contents.entry(Arc::clone(id)).or_default(),
            PurgeSelector::Prefix(prefix) => {
                if !self.prefixes.contains_key(prefix) {
                    *self.prefix_lengths.entry(prefix.len()).or_default() += 1;
                }
                self.prefixes.entry(Arc::clone(prefix)).or_default()
            }
        }
    }

    fn forget(&mut self, generation: u64, purge: &Purge) {
        let last = self.last_mut(&purge.selector);
        let of = last.of(purge.soft);
        if *of == generation {
            *of = 0;
        }
        if last.any() > 0 {
            return;
        }
        match &purge.selector {
            PurgeSelector::Everything => {}
            PurgeSelector::Key(key) => drop(self.keys.remove(key)),
            PurgeSelector::SurrogateKey(tag) => drop(self.tags.remove(tag)),
            PurgeSelector::ContentId(id) => drop(self.contents.remove(id)),
            PurgeSelector::Prefix(prefix) => {
                self.prefixes.remove(prefix);
                if let Some(count) = self.prefix_lengths.get_mut(&prefix.len()) {
                    *count -= 1;
                    if *count == 0 {
                        self.prefix_lengths.remove(&prefix.len());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn purge(selector: PurgeSelector, soft: bool) -> Purge {
        Purge { selector, soft }
    }

    #[test]
    fn what_is_forgotten_counts_as_purged() {
        let mut history = History::default();
        history.purge(&purge(PurgeSelector::Key("/a".into()), false));
        for n in 0..HISTORY_MAX {
            history.purge(&purge(PurgeSelector::Key(format!("/{n}").into()), false));
        }
        assert_eq!(history.since(0, "/other", &[]).hard, 1);
        assert_eq!(history.since(1, "/other", &[]), Last::default());
        assert!(history.order.len() <= HISTORY_MAX);
    }

    #[test]
    fn long_purges_are_forgotten_by_their_bytes() {
        let mut history = History::default();
        let long = "\u{1}".repeat(100_000);
        for n in 0..100 {
            history.purge(&purge(
                PurgeSelector::Prefix(format!("/{n}{long}").into()),
                false,
            ));
            let counted: usize = history.order.values().map(record_bytes).sum();
            assert_eq!(history.bytes(), counted);
            assert!(counted <= HISTORY_BYTES_MAX);
        }
        let left = history.order.len() as u64;
        assert!((20..40).contains(&left), "{left} of 600 kB");
        assert_eq!(history.prefixes.len() as u64, left);
        assert_eq!(history.since(0, "/other", &[]).hard, 100 - left);
        // One that is too long by itself takes everything, itself too.
        let whole = "x".repeat(HISTORY_BYTES_MAX);
        history.purge(&purge(PurgeSelector::Key(whole.into()), true));
        assert_eq!(history.since(100, "/other", &[]).hard, 101);
        assert_eq!(history.bytes(), 0);
    }

    #[test]
    fn a_purge_takes_no_more_in_the_log_than_it_is_counted_as() {
        for text in ["", "/\u{1}\u{1f}\"\\\n\t\u{7f}ä\u{10ffff}/"] {
            let text: Arc<str> = text.repeat(100).into();
            for selector in [
                PurgeSelector::Key(Arc::clone(&text)),
                PurgeSelector::SurrogateKey(Arc::clone(&text)),
                PurgeSelector::Everything,
            ] {
                let record = PurgeRecord {
                    generation: u64::MAX,
                    purge: purge(selector, false),
                };
                // A checksum, a space, the line's kind and its end come to it.
                let line = serde_json::to_vec(&record).unwrap().len() + 33 + 12;
                assert!(line <= record_bytes(&record.purge), "{line}");
            }
        }
    }

    #[test]
    fn the_same_purge_again_takes_one_place() {
        let mut history = History::default();
        for _ in 0..100 {
            history.purge(&purge(PurgeSelector::Prefix("/p".into()), true));
        }
        assert_eq!(history.order.len(), 1);
        assert_eq!(history.since(99, "/p/x", &[]).soft, 100);
        assert_eq!(history.since(100, "/p/x", &[]).soft, 0);
    }

    fn selector() -> impl Strategy<Value = PurgeSelector> {
        let key = prop_oneof![Just("/media/ng/c1/a"), Just("/media/ng/c2/a"), Just("/x")];
        let tag = prop_oneof![Just("t1"), Just("c1")];
        prop_oneof![
            key.clone().prop_map(|key| PurgeSelector::Key(key.into())),
            (key, 0usize..14).prop_map(|(key, length)| {
                PurgeSelector::Prefix(key[..length.min(key.len())].into())
            }),
            tag.clone()
                .prop_map(|tag| PurgeSelector::SurrogateKey(tag.into())),
            tag.prop_map(|tag| PurgeSelector::ContentId(tag.into())),
            Just(PurgeSelector::Everything),
        ]
    }

    proptest! {
        #[test]
        fn it_says_what_a_list_of_all_purges_says(
            purges in proptest::collection::vec((selector(), any::<bool>()), 0..40),
            asked in 0u64..40,
        ) {
            let mut history = History::default();
            let mut list = Vec::new();
            for (selector, soft) in purges {
                list.push(history.purge(&purge(selector, soft)));
            }
            // What was written down says the same.
            let mut again = History::default();
            for record in history.records() {
                again.replay(&record);
            }
            for (key, tags) in [
                ("/media/ng/c1/a", vec![]),
                ("/media/ng/c2/a", vec!["t1"]),
                ("/x", vec!["c1"]),
                ("/x", vec![]),
            ] {
                let tags: Vec<Arc<str>> = tags.into_iter().map(Arc::from).collect();
                let subject = crate::entity::Subject {
                    key: crate::key::OwnedKey::new(key),
                    slot: crate::key::KeyHash::of(key),
                    variant: crate::vary::Variant::default(),
                    tags: tags.clone().into(),
                };
                let newest = |soft: bool| list
                    .iter()
                    .filter(|record| {
                        record.generation > asked
                            && record.purge.soft == soft
                            && record.purge.selector.matches(&subject)
                    })
                    .map(|record| record.generation)
                    .max()
                    .unwrap_or(0);
                let hard = newest(false);
                for history in [&history, &again] {
                    let since = history.since(asked, key, &tags);
                    prop_assert_eq!(since.hard, hard);
                    // A hard purge of everything makes what was made stale before it uninteresting.
                    if newest(true) > hard {
                        prop_assert_eq!(since.soft, newest(true));
                    }
                }
            }
        }
    }
}
