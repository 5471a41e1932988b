//! Variants of a key (RFC 9111 section 4.1).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName};
use parking_lot::RwLock;

use crate::key::{Key, KeyHash};

/// Sets of selecting header names that one key's responses have named; the oldest is forgotten for one more.
const RULES_MAX: usize = 4;
/// Tables of rules, each with its own lock.
const SHARDS: usize = 16;

/// A request's header values in normal form, for comparison with those of the request a response was stored for.
pub trait Selecting: Sync {
    /// The value of `name` in normal form; nothing when the request has no such header.
    fn value(&self, name: &HeaderName) -> Option<Cow<'_, [u8]>>;
}

/// The plain rule: values as they are, without white space around them, several fields joined by `, `.
impl Selecting for HeaderMap {
    fn value(&self, name: &HeaderName) -> Option<Cow<'_, [u8]>> {
        let mut values = self.get_all(name).iter();
        let first = values.next()?.as_bytes().trim_ascii();
        let mut joined = Cow::Borrowed(first);
        for value in values {
            let joined = joined.to_mut();
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(value.as_bytes().trim_ascii());
        }
        Some(joined)
    }
}

/// The selecting headers of a stored response, with the values of the request that it answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variant(Box<[Field]>);

/// A selecting header with its normalised value; nothing when the request had none.
pub(crate) type Field = (HeaderName, Option<Box<[u8]>>);

impl Variant {
    /// The variant that `request` selects by the header names of a `Vary`. No names: a response that does not vary.
    #[must_use]
    pub fn of(names: impl IntoIterator<Item = HeaderName>, request: &dyn Selecting) -> Self {
        let mut names: Vec<HeaderName> = names.into_iter().collect();
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        Self(
            names
                .into_iter()
                .map(|name| {
                    let value = request.value(&name).map(|value| value.as_ref().into());
                    (name, value)
                })
                .collect(),
        )
    }

    /// From the parts that the disk kept, in their order.
    pub(crate) fn from_parts(parts: Vec<Field>) -> Self {
        Self(parts.into_boxed_slice())
    }

    /// Does the response vary at all?
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Would `request` select it?
    #[must_use]
    pub fn matches(&self, request: &dyn Selecting) -> bool {
        self.0
            .iter()
            .all(|(name, value)| request.value(name).as_deref() == value.as_deref())
    }

    /// The selecting headers.
    pub fn fields(&self) -> impl Iterator<Item = (&HeaderName, Option<&[u8]>)> {
        self.0.iter().map(|(name, value)| (name, value.as_deref()))
    }

    /// Where the variant is stored: under the key itself when it is the only one.
    pub(crate) fn slot(&self, key: KeyHash) -> KeyHash {
        if self.is_none() {
            return key;
        }
        slot_of(
            key,
            self.0.iter().map(|(name, value)| (name, value.as_deref())),
        )
    }

    pub(crate) fn names(&self) -> Arc<[HeaderName]> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn weight(&self) -> usize {
        self.0
            .iter()
            .map(|(name, value)| name.as_str().len() + value.as_ref().map_or(0, |v| v.len()) + 64)
            .sum()
    }
}

fn slot_of<'a, V: AsRef<[u8]>>(
    key: KeyHash,
    fields: impl Iterator<Item = (&'a HeaderName, Option<V>)>,
) -> KeyHash {
    let mut canonical = Vec::with_capacity(128);
    for (name, value) in fields {
        canonical.extend_from_slice(name.as_str().as_bytes());
        match value {
            Some(value) => {
                let value = value.as_ref();
                canonical.push(b':');
                canonical.extend_from_slice(&(value.len() as u64).to_le_bytes());
                canonical.extend_from_slice(value);
            }
            None => canonical.push(b'-'),
        }
    }
    key.variant(&canonical)
}

/// The rules of one key, and the slots that its variants are in.
#[derive(Debug, Clone)]
struct Rules {
    text: Arc<str>,
    /// The newest first.
    names: Vec<Arc<[HeaderName]>>,
    /// The oldest first.
    slots: Vec<KeyHash>,
    /// No variant of this set was asked for in an earlier purge generation.
    since: u64,
}

/// Which keys have variants. Read without the ledger's lock; changed only under it.
#[derive(Debug)]
pub(crate) struct VaryTable {
    shards: Box<[RwLock<HashMap<KeyHash, Rules>>]>,
    variants_max: usize,
    age: AtomicU64,
}

impl VaryTable {
    pub(crate) fn new(variants_max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            variants_max,
            age: AtomicU64::new(1),
        }
    }

    /// A time that passes as variants come, to tell by which of them were in use of late.
    pub(crate) fn age(&self) -> u64 {
        self.age.load(Ordering::Relaxed)
    }

    fn shard(&self, key: KeyHash) -> &RwLock<HashMap<KeyHash, Rules>> {
        &self.shards[key.shard() % SHARDS]
    }

    /// The slots in which a request's variant may be, the newest rule's first.
    pub(crate) fn slots(&self, key: Key<'_>, request: &dyn Selecting) -> SlotList {
        let shard = self.shard(key.hash()).read();
        let mut slots = SlotList::default();
        if let Some(rules) = shard.get(&key.hash())
            && *rules.text == *key.text()
        {
            for names in &rules.names {
                slots.push(slot_of(
                    key.hash(),
                    names.iter().map(|name| (name, request.value(name))),
                ));
            }
        }
        slots
    }

    /// Enters a variant; `since` is the purge generation in which the first of its set was asked for, as far as that is
    /// known. Returns the rules as they are now, the generation of the first of all, and slots that have to go: of another
    /// key with the same hash, or for room, the one that was asked for least lately first: `last_use` tells when that
    /// was, by [`Self::age`].
    pub(crate) fn enter(
        &self,
        key: KeyHash,
        text: &Arc<str>,
        variant: &Variant,
        slot: KeyHash,
        since: u64,
        last_use: impl Fn(KeyHash) -> u64,
    ) -> (Vec<Arc<[HeaderName]>>, u64, Vec<KeyHash>) {
        let mut shard = self.shard(key).write();
        let rules = shard.entry(key).or_insert_with(|| Rules {
            text: Arc::clone(text),
            names: Vec::new(),
            slots: Vec::new(),
            since,
        });
        let mut gone = Vec::new();
        if rules.text != *text {
            rules.text = Arc::clone(text);
            rules.names.clear();
            rules.since = since;
            gone.append(&mut rules.slots);
        }
        // Both are of this set, so nothing took it away since the earlier one.
        rules.since = rules.since.min(since);
        let names = variant.names();
        rules.names.retain(|known| *known != names);
        rules.names.insert(0, names);
        rules.names.truncate(RULES_MAX);
        rules.slots.retain(|known| *known != slot);
        while rules.slots.len() >= self.variants_max
            && let Some(least) = (0..rules.slots.len()).min_by_key(|at| last_use(rules.slots[*at]))
        {
            gone.push(rules.slots.remove(least));
        }
        rules.slots.push(slot);
        self.age.fetch_add(1, Ordering::Relaxed);
        (rules.names.clone(), rules.since, gone)
    }

    /// Strikes a variant off; the rules go with the last one.
    pub(crate) fn leave(&self, key: KeyHash, slot: KeyHash) {
        let mut shard = self.shard(key).write();
        if let Some(rules) = shard.get_mut(&key) {
            rules.slots.retain(|known| *known != slot);
            if rules.slots.is_empty() {
                shard.remove(&key);
            }
        }
    }

    /// In which generation the first of a key's variants was asked for; nothing when there are none.
    pub(crate) fn since(&self, key: Key<'_>) -> Option<u64> {
        let shard = self.shard(key.hash()).read();
        let rules = shard.get(&key.hash())?;
        (*rules.text == *key.text()).then_some(rules.since)
    }

    /// The slots of all of a key's variants.
    pub(crate) fn all(&self, key: KeyHash) -> Vec<KeyHash> {
        self.shard(key)
            .read()
            .get(&key)
            .map(|rules| rules.slots.clone())
            .unwrap_or_default()
    }
}

/// At most [`RULES_MAX`] slots, without an allocation.
#[derive(Debug, Default)]
pub(crate) struct SlotList {
    slots: [Option<KeyHash>; RULES_MAX],
    count: usize,
}

impl SlotList {
    fn push(&mut self, slot: KeyHash) {
        if let Some(place) = self.slots.get_mut(self.count) {
            *place = Some(slot);
            self.count += 1;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = KeyHash> + '_ {
        self.slots.iter().flatten().copied()
    }
}

/// The slots of a request by rules that the disk kept.
pub(crate) fn slots_by_rules(
    key: KeyHash,
    rules: &[Vec<String>],
    request: &dyn Selecting,
) -> Vec<KeyHash> {
    rules
        .iter()
        .take(RULES_MAX)
        .filter_map(|names| {
            let names: Vec<HeaderName> = names
                .iter()
                .map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
                .collect::<Option<_>>()?;
            Some(slot_of(
                key,
                names.iter().map(|name| (name, request.value(name))),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE};

    fn request(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_variant_is_found_by_the_request_that_it_answers_and_no_other() {
        let key = Key::new("/a");
        let gzip = request(&[(ACCEPT_ENCODING, "gzip"), (ACCEPT_LANGUAGE, "en")]);
        let plain = request(&[(ACCEPT_LANGUAGE, "en")]);
        let variant = Variant::of([ACCEPT_ENCODING], &gzip);
        assert!(variant.matches(&gzip) && !variant.matches(&plain));
        let table = VaryTable::new(8);
        let slot = variant.slot(key.hash());
        table.enter(key.hash(), &Arc::from("/a"), &variant, slot, 7, |_| 0);
        assert_eq!(table.since(key), Some(7));
        table.enter(key.hash(), &Arc::from("/a"), &variant, slot, 5, |_| 0);
        table.enter(key.hash(), &Arc::from("/a"), &variant, slot, 6, |_| 0);
        assert_eq!(table.since(key), Some(5), "the first of all");
        assert_eq!(
            table.slots(key, &gzip).iter().collect::<Vec<_>>(),
            vec![slot]
        );
        assert_ne!(
            table.slots(key, &plain).iter().collect::<Vec<_>>(),
            vec![slot]
        );
        table.leave(key.hash(), slot);
        assert_eq!(table.slots(key, &gzip).iter().count(), 0);
    }

    #[test]
    fn an_absent_header_is_not_an_empty_one() {
        let key = KeyHash::of("/a");
        let empty = Variant::of([ACCEPT_ENCODING], &request(&[(ACCEPT_ENCODING, "")]));
        let absent = Variant::of([ACCEPT_ENCODING], &request(&[]));
        assert_ne!(empty.slot(key), absent.slot(key));
        assert!(!empty.matches(&request(&[])));
    }

    #[test]
    fn variants_and_rules_are_bounded() {
        let table = VaryTable::new(3);
        let text = Arc::from("/a");
        let key = KeyHash::of("/a");
        let mut gone = 0;
        for n in 0..10 {
            let headers: HeaderMap = [(ACCEPT_LANGUAGE, HeaderValue::from(n))]
                .into_iter()
                .collect();
            let variant = Variant::of(
                [
                    ACCEPT_LANGUAGE,
                    HeaderName::from_bytes(format!("x-{n}").as_bytes()).unwrap(),
                ],
                &headers,
            );
            let (names, _, left) = table.enter(key, &text, &variant, variant.slot(key), 0, |_| 0);
            assert!(names.len() <= RULES_MAX);
            gone += left.len();
        }
        assert_eq!(gone, 7);
        assert_eq!(table.all(key).len(), 3);
    }

    #[test]
    fn what_was_used_least_lately_goes() {
        let table = VaryTable::new(3);
        let text = Arc::from("/a");
        let key = KeyHash::of("/a");
        let enter = |n: i32, last_use: &dyn Fn(KeyHash) -> u64| {
            let headers: HeaderMap = [(ACCEPT_LANGUAGE, HeaderValue::from(n))]
                .into_iter()
                .collect();
            let variant = Variant::of([ACCEPT_LANGUAGE], &headers);
            let slot = variant.slot(key);
            let (_, _, gone) = table.enter(key, &text, &variant, slot, 0, last_use);
            (slot, gone)
        };
        let (first, _) = enter(0, &|_| 0);
        let (second, _) = enter(1, &|_| 0);
        for n in 2..100 {
            let age = table.age();
            let (_, gone) = enter(n, &|slot| if slot == first { age } else { 0 });
            assert!(!gone.contains(&first));
            assert_eq!(gone.contains(&second), n == 3);
        }
        assert_eq!(table.age(), 101);
    }
}
