//! What is held for a key, in memory and on disk, for operators.
//!
//! The disk is read for it as for a request: on the tier's threads, each read within the tier's deadline, and no more after the
//! first that fails. Nothing else changes by it: what is found does not enter memory, counts as no use of it there, and does not
//! stay longer on the disk. Only the kernel has the record that was read, and what it fetched with it, in its memory then; and
//! a record that turns out to be damaged is forgotten, as whenever one is read.

use std::sync::Arc;

use http::HeaderMap;
use http::header::{ETAG, HeaderName, LAST_MODIFIED};
use serde::Serialize;

use self::on_disk::{Found, FoundHead, ask_disk};
use crate::cache::Cache;
use crate::disk_tier::{DiskLifetimes, DiskReport};
use crate::entity::Entity;
use crate::key::Key;
use crate::memories::MissReason;
use crate::vary::{Selecting, Variant};

mod on_disk;

/// What is held for a key.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Inspection {
    /// The key that was asked for.
    pub key: String,
    /// Its hash, as hexadecimal digits.
    pub hash: String,
    /// Stored responses and fills in flight, one for each variant. Where the disk has another body than memory, which goes
    /// before it, both are here.
    pub variants: Vec<VariantInspection>,
    /// Why a request gets nothing, when none of these would be given to any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed: Option<MissReason>,
    /// What came of asking the disk.
    pub disk: DiskInspection,
    /// The disk may have something for the key, as requests are told without asking it.
    pub may_be_on_disk: bool,
    /// The cache's purge generation.
    pub generation: u64,
}

/// What came of asking the disk. For the admin port: `{"state":"held"}` and so on.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum DiskInspection {
    /// There is no disk tier.
    Absent,
    /// It has nothing of the key.
    NotHeld,
    /// It has something.
    Held {
        /// Which request headers select among what it has, as sets of names, the newest first; none when the response does not
        /// vary. It knows a variant only by a request's values of them: those of variants in memory were asked for, and those
        /// that the inspection's own headers select.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        varies_by: Vec<Vec<String>>,
    },
    /// It did not answer; the variants are those that were known until then.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// Where a response is.
#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum HeldIn {
    /// In memory, or on its way there.
    Memory,
    /// On the disk.
    Disk,
    /// In memory and, at least in part, on the disk.
    Both,
}

/// What the disk has of a response's body. Chunks are looked up, not read: one that is damaged is noticed by who reads it.
#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
pub struct OnDisk {
    /// Bytes of the body that are there.
    pub bytes: u64,
    /// Chunks that are there; none of a short body, which is in one record with its head.
    pub chunks: u32,
    /// Chunks that the body has.
    pub chunks_total: u32,
    /// Nobody is given what has begun to leave.
    pub is_whole: bool,
}

/// One response.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct VariantInspection {
    /// Where it is.
    pub held_in: HeldIn,
    /// `fresh`, `stale`, `expired` (by a soft purge) or `filling`; and of what is on the disk alone and given to nobody: `purged`
    /// (its record goes when it is next asked for), or `outdated` (the set of variants that it was of is gone).
    pub state: &'static str,
    /// The response's status.
    pub status: u16,
    /// Selecting headers, `name: value`; an absent header has no colon.
    pub vary: Vec<String>,
    /// The body's length, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// Bytes of it in memory.
    pub held_bytes: u64,
    /// Is all of it in memory?
    pub is_complete: bool,
    /// What of it is on the disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_disk: Option<OnDisk>,
    /// When it, or what revalidated it last, was received, ms since the Unix epoch.
    pub received_ms: i64,
    /// When it is stale by its lifetimes, ms since the Unix epoch.
    pub fresh_until_ms: i64,
    /// Milliseconds until then; negative when it is.
    pub fresh_for_ms: i64,
    /// How old it is, ms.
    pub age_ms: i64,
    /// Its `ETag`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Its `Last-Modified`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    /// Its surrogate keys.
    pub surrogate_keys: Vec<String>,
    /// The generation in which its body was asked for.
    pub generation: u64,
    /// The generation in which its head, or what revalidated it last, was asked for.
    pub head_generation: u64,
}

impl Cache {
    /// What is held for a key, all variants, in memory and on disk, and why there is nothing. `request` selects among the variants
    /// of which only the disk knows.
    pub async fn inspect(&self, key: Key<'_>, request: &dyn Selecting) -> Inspection {
        let store = &self.store;
        let asked = self.ticket().generation;
        // First: what comes into memory meanwhile is seen there.
        let (found, disk) = match &store.kept {
            Some(kept) => ask_disk(store, kept, key, request).await,
            None => (Found::default(), DiskInspection::Absent),
        };
        let now_ms = store.now_ms();
        let ledger = store.ledger.lock();
        let mut slots = store.vary.all(key.hash());
        slots.push(key.hash());
        let stored = slots.iter().filter_map(|slot| ledger.index.get(*slot));
        let is_it = |entity: &&Arc<Entity>| **entity.key().text() == *key.text();
        let mut variants: Vec<VariantInspection> = Vec::new();
        let mut in_both = Vec::new();
        for entity in stored.filter(is_it) {
            let body_id = entity.disk.get().map(|disk| disk.body_id);
            let is_same = |found: &&FoundHead| {
                found.slot == entity.subject.slot && Some(found.head.body_id) == body_id
            };
            let found = found.heads.iter().find(is_same);
            in_both.extend(found.map(|found| found.slot));
            let on_disk = found.map(|found| found.on_disk);
            variants.push(describe(entity, now_ms, on_disk, false));
        }
        let filling = ledger.filling_of(key);
        variants.extend(filling.map(|entity| describe(entity, now_ms, None, true)));
        let mut missed = self.reason(&ledger, key);
        let mut is_given = !variants.is_empty();
        for head in &found.heads {
            if in_both.contains(&head.slot) {
                continue;
            }
            let state = found.state(head, store, &ledger.past, (asked, now_ms));
            match state {
                "purged" | "outdated" => missed = MissReason::Purged,
                _ if head.on_disk.is_whole => is_given = true,
                // Some of it has left.
                _ if missed == MissReason::NeverSeen => missed = MissReason::Evicted,
                _ => {}
            }
            variants.push(describe_on_disk(head, state, now_ms));
        }
        // Of what was stored at some time, memory can tell only that it has left memory.
        if matches!(missed, MissReason::NeverSeen | MissReason::Evicted) {
            match disk {
                DiskInspection::Unknown { .. } => missed = MissReason::DiskUnknown,
                // It has variants, and none that was asked for.
                DiskInspection::Held { .. } if found.heads.is_empty() => {
                    missed = MissReason::Variant;
                }
                _ => {}
            }
        }
        Inspection {
            key: key.text().to_owned(),
            hash: format!("{:?}", key.hash()),
            variants,
            missed: (!is_given).then_some(missed),
            disk,
            may_be_on_disk: store
                .kept
                .as_ref()
                .is_some_and(|kept| kept.tier.may_hold(key.hash())),
            generation: ledger.past.generation(),
        }
    }

    /// Bytes of responses stored in memory.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.store.tier.usage()
    }

    /// Bytes of memory that stored responses, fills and slow readers take together; never more than
    /// `memory_bytes`.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        // Places of what is gone count until they are looked through.
        self.store.ledger.lock().forget_gone();
        self.store.account.used()
    }

    /// Bytes that fills in flight have reserved.
    #[must_use]
    pub fn fill_bytes(&self) -> u64 {
        self.store.fills.used()
    }

    /// Bytes that the memory of purges and invalidations takes, beside `memory_bytes`; never more than
    /// [`crate::engine::PURGE_BYTES_MAX`].
    #[must_use]
    pub fn purge_bytes(&self) -> u64 {
        self.store.ledger.lock().past.bytes() as u64
    }

    /// The largest response that is stored, bytes.
    #[must_use]
    pub fn object_bytes_max(&self) -> u64 {
        self.store.config.object_bytes_max
    }

    /// Has any response in memory a key with `needle` in it? A whole scan: for checks of what must not be on a node.
    #[must_use]
    pub fn holds_key_with(&self, needle: &str) -> bool {
        let ledger = self.store.ledger.lock();
        ledger.index.any_key(|key| key.contains(needle)) || ledger.fills_key_with(needle)
    }

    /// How the disk tier does; nothing without one.
    #[must_use]
    pub fn disk_report(&self) -> Option<DiskReport> {
        self.store.kept.as_ref().map(|kept| DiskReport {
            state: kept.tier.state(),
            blocks_unmapped: kept.tier.blocks_unmapped(),
        })
    }
}

fn describe(
    entity: &Entity,
    now_ms: i64,
    on_disk: Option<OnDisk>,
    is_filling: bool,
) -> VariantInspection {
    let head = entity.head();
    VariantInspection {
        held_in: match on_disk {
            Some(_) => HeldIn::Both,
            None => HeldIn::Memory,
        },
        state: if is_filling {
            "filling"
        } else if entity.is_fresh(now_ms) {
            "fresh"
        } else if entity.is_expired() {
            "expired"
        } else {
            "stale"
        },
        status: head.status.as_u16(),
        vary: selecting(entity.variant()),
        total_bytes: entity.total_len(),
        held_bytes: entity.held_bytes(),
        is_complete: entity.is_complete(),
        on_disk,
        received_ms: head.lifetimes.received_ms,
        fresh_until_ms: head.lifetimes.fresh_until_ms,
        fresh_for_ms: head.lifetimes.fresh_until_ms.saturating_sub(now_ms),
        age_ms: age_ms(&head.lifetimes, now_ms),
        etag: field(&head.headers, &ETAG),
        last_modified: field(&head.headers, &LAST_MODIFIED),
        surrogate_keys: entity.tags().iter().map(|tag| tag.to_string()).collect(),
        generation: entity.generation,
        head_generation: entity.head_generation(),
    }
}

fn describe_on_disk(found: &FoundHead, state: &'static str, now_ms: i64) -> VariantInspection {
    let head = &found.head;
    VariantInspection {
        held_in: HeldIn::Disk,
        state,
        status: head.status,
        vary: selecting(&found.variant),
        total_bytes: Some(head.total_len),
        held_bytes: 0,
        is_complete: false,
        on_disk: Some(found.on_disk),
        received_ms: head.lifetimes.received_ms,
        fresh_until_ms: head.lifetimes.fresh_until_ms,
        fresh_for_ms: head.lifetimes.fresh_until_ms.saturating_sub(now_ms),
        age_ms: age_ms(&head.lifetimes, now_ms),
        etag: field(&head.headers, &ETAG),
        last_modified: field(&head.headers, &LAST_MODIFIED),
        surrogate_keys: head.tags.iter().map(|tag| tag.to_string()).collect(),
        generation: head.body_generation,
        head_generation: head.generation,
    }
}

fn selecting(variant: &Variant) -> Vec<String> {
    let fields = variant.fields();
    fields
        .map(|(name, value)| match value {
            Some(value) => format!("{name}: {}", value.escape_ascii()),
            None => name.as_str().to_owned(),
        })
        .collect()
}

fn age_ms(lifetimes: &DiskLifetimes, now_ms: i64) -> i64 {
    now_ms
        .saturating_sub(lifetimes.received_ms)
        .saturating_add(lifetimes.initial_age_ms)
}

fn field(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}
