//! What is held for a key, for operators.

use serde::Serialize;

use crate::cache::Cache;
use crate::disk_tier::DiskReport;
use crate::entity::Entity;
use crate::key::Key;
use crate::memories::MissReason;

/// What is held for a key.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Inspection {
    /// The key that was asked for.
    pub key: String,
    /// Its hash, as hexadecimal digits.
    pub hash: String,
    /// Stored responses and fills in flight, one for each variant.
    pub variants: Vec<VariantInspection>,
    /// Why there is nothing, when there is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missed: Option<MissReason>,
    /// The disk may have something for the key.
    pub may_be_on_disk: bool,
    /// The cache's purge generation.
    pub generation: u64,
}

/// One response.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct VariantInspection {
    /// `fresh`, `stale`, `expired` (by a soft purge) or `filling`.
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
    /// Milliseconds until it is stale by its lifetimes; negative when it is.
    pub fresh_for_ms: i64,
    /// How old it is, ms.
    pub age_ms: i64,
    /// Its surrogate keys.
    pub surrogate_keys: Vec<String>,
    /// The generation in which its body was asked for.
    pub generation: u64,
}

impl Cache {
    /// What is held for a key, all variants, and why there is nothing.
    #[must_use]
    pub fn inspect(&self, key: Key<'_>) -> Inspection {
        let store = &self.store;
        let now_ms = store.now_ms();
        let ledger = store.ledger.lock();
        let mut slots = store.vary.all(key.hash());
        slots.push(key.hash());
        let stored = slots.iter().filter_map(|slot| ledger.index.get(*slot));
        let mut variants: Vec<VariantInspection> = stored
            .filter(|entity| **entity.key().text() == *key.text())
            .map(|entity| describe(entity, now_ms, false))
            .collect();
        variants.extend(
            ledger
                .filling_of(key)
                .map(|entity| describe(entity, now_ms, true)),
        );
        Inspection {
            key: key.text().to_owned(),
            hash: format!("{:?}", key.hash()),
            missed: variants.is_empty().then(|| self.reason(&ledger, key)),
            variants,
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

fn describe(entity: &Entity, now_ms: i64, is_filling: bool) -> VariantInspection {
    let head = entity.head();
    let lifetimes = head.lifetimes;
    VariantInspection {
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
        vary: entity
            .variant()
            .fields()
            .map(|(name, value)| match value {
                Some(value) => format!("{name}: {}", value.escape_ascii()),
                None => name.as_str().to_owned(),
            })
            .collect(),
        total_bytes: entity.total_len(),
        held_bytes: entity.held_bytes(),
        is_complete: entity.is_complete(),
        fresh_for_ms: lifetimes.fresh_until_ms.saturating_sub(now_ms),
        age_ms: now_ms
            .saturating_sub(lifetimes.received_ms)
            .saturating_add(lifetimes.initial_age_ms),
        surrogate_keys: entity.tags().iter().map(|tag| tag.to_string()).collect(),
        generation: entity.generation,
    }
}
