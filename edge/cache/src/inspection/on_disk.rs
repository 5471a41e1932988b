//! What the disk has of a key.

use http::header::HeaderName;

use super::{DiskInspection, OnDisk};
use crate::body::CHUNK_BYTES;
use crate::disk_tier::{DiskError, DiskHead, DiskRecord, DiskState, Examined};
use crate::key::{Key, KeyHash};
use crate::past::Past;
use crate::store::{Kept, Store};
use crate::vary::{Selecting, Variant, slots_by_rules};

/// What the disk was found to have of a key.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) heads: Vec<FoundHead>,
    pub(super) rules: Option<Rules>,
}

/// By which request headers the key's responses vary, and since which generation.
#[derive(Debug)]
pub(super) struct Rules {
    sets: Vec<Vec<String>>,
    since: u64,
}

/// One response.
#[derive(Debug)]
pub(super) struct FoundHead {
    pub(super) slot: KeyHash,
    pub(super) variant: Variant,
    pub(super) head: Box<DiskHead>,
    pub(super) on_disk: OnDisk,
}

/// What there is for the key: its response that does not vary, or its variants that memory knows of or `request` selects.
pub(super) async fn ask_disk(
    store: &Store,
    kept: &Kept,
    key: Key<'_>,
    request: &dyn Selecting,
) -> (Found, DiskInspection) {
    let mut found = Found::default();
    let disk = match found.fill(store, kept, key, request).await {
        Err(error) => DiskInspection::Unknown {
            reason: match (&error, kept.tier.state()) {
                (DiskError::Degraded, DiskState::Degraded { reason, .. }) => {
                    format!("{error}: {reason}")
                }
                _ => error.to_string(),
            },
        },
        Ok(()) if found.heads.is_empty() && found.rules.is_none() => DiskInspection::NotHeld,
        Ok(()) => DiskInspection::Held {
            varies_by: match &found.rules {
                Some(rules) => rules.sets.clone(),
                None => Vec::new(),
            },
        },
    };
    (found, disk)
}

impl Found {
    /// One read after the other, so that an operator takes no more of the disk than one viewer.
    async fn fill(
        &mut self,
        store: &Store,
        kept: &Kept,
        key: Key<'_>,
        request: &dyn Selecting,
    ) -> Result<(), DiskError> {
        let own = key.hash();
        let mut slots = store.vary.all(own);
        slots.extend(store.vary.slots(key, request).iter());
        if let Some(examined) = kept.tier.examine(own).await? {
            match examined.record {
                DiskRecord::Rules {
                    key: text,
                    rules: sets,
                    since,
                } => {
                    if text == key.text() {
                        slots.extend(slots_by_rules(own, &sets, request));
                        self.rules = Some(Rules { sets, since });
                    }
                }
                DiskRecord::Head(_) => self.note(key, own, examined),
            }
        }
        slots.sort_unstable();
        slots.dedup();
        for slot in slots.into_iter().filter(|slot| *slot != own) {
            if let Some(examined) = kept.tier.examine(slot).await? {
                self.note(key, slot, examined);
            }
        }
        Ok(())
    }

    /// Notes a head, if it is what its slot says and its body can be read.
    fn note(&mut self, key: Key<'_>, slot: KeyHash, examined: Examined) {
        let Examined {
            record: DiskRecord::Head(head),
            chunks,
            chunks_total,
            bytes,
        } = examined
        else {
            return;
        };
        let Some(variant) = variant_of(&head) else {
            return;
        };
        let is_it = *head.key == *key.text()
            && variant.slot(key.hash()) == slot
            && u64::from(head.chunk_bytes) == CHUNK_BYTES;
        if is_it {
            self.heads.push(FoundHead {
                slot,
                variant,
                head,
                on_disk: OnDisk {
                    bytes,
                    chunks,
                    chunks_total,
                    is_whole: chunks == chunks_total,
                },
            });
        }
    }

    /// What a request would make of one of these that memory does not have: purges are held against it as when it is brought
    /// back. `asked` is the generation before the disk was asked.
    pub(super) fn state(
        &self,
        found: &FoundHead,
        store: &Store,
        past: &Past,
        (asked, now_ms): (u64, i64),
    ) -> &'static str {
        let head = &found.head;
        let key = Key::new(&head.key);
        let of_body = past.since_kept(head.body_generation, key, &head.tags);
        let of_head = past.since_kept(head.generation, key, &head.tags);
        if of_body.hard > 0 || past.invalidated_since(asked, key) > 0 {
            "purged"
        } else if !found.variant.is_none() && !self.is_of_set(head, store.vary.since(key)) {
            "outdated"
        } else if of_head.soft > 0 {
            "expired"
        } else if now_ms < head.lifetimes.fresh_until_ms {
            "fresh"
        } else {
            "stale"
        }
    }

    /// Is a variant of the set that the disk names, and not older than the one in memory, which began at `first`?
    fn is_of_set(&self, head: &DiskHead, first: Option<u64>) -> bool {
        let Some(Rules { sets, since }) = &self.rules else {
            return false;
        };
        let names = || head.vary.iter().map(|(name, _)| name);
        head.body_generation >= *since
            && first.is_none_or(|first| head.body_generation >= first)
            && sets.iter().any(|set| set.iter().eq(names()))
    }
}

fn variant_of(head: &DiskHead) -> Option<Variant> {
    let fields = head.vary.iter().map(|(name, value)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, value.as_ref().map(|value| value.as_slice().into())))
    });
    Some(Variant::from_parts(fields.collect::<Option<_>>()?))
}
