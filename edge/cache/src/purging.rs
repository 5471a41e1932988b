//! Carrying out purges: the feed's, which end readers, and those that clients' unsafe requests cause, which do not.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use crate::cache::Cache;
use crate::flight::{FillTicket, Outcome};
use crate::key::{Key, KeyHash};
use crate::ledger::{Ledger, Reached};
use crate::memories::MissReason;
use crate::past::{LogRecord, is_plain};
use crate::purge::{Purge, PurgeReport, PurgeSelector};

/// What becomes of what is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is stale.
    Stale,
    /// Newcomers do not get it; those who read it go on.
    Unlisted,
    /// Nobody gets another byte.
    Gone,
}

impl Fate {
    fn word(self) -> &'static str {
        match self {
            Self::Stale => "soft",
            Self::Unlisted => "unlist",
            Self::Gone => "hard",
        }
    }
}

impl Cache {
    /// Takes what is stored for a key, with all its variants, out of reach: an unsafe method succeeded on it (RFC 9111
    /// section 4.4). No lookup finds it and nobody joins it any more; readers that have begun go on, since any client may
    /// send such a request, and what they read was good when they began.
    ///
    /// However many keys are invalidated, what is remembered of them is bounded ([`crate::engine::PURGE_BYTES_MAX`]), and
    /// what is forgotten costs keys of plain routes (`scheme://host/…`) alone: a fill that began before is not stored, and
    /// what the disk has had since before is not served. [`Self::flush_invalidations`] waits until it outlives a restart.
    pub fn invalidate(&self, key: Key<'_>) -> PurgeReport {
        self.unlist(self.store.ledger.lock(), key)
    }

    /// Carries out a purge. When it returns, no lookup finds what it removed, no fill asked for before it can be joined or
    /// stored, and readers of what it removed get no further. [`Self::flush_purges`] makes it outlive a restart.
    pub fn purge(&self, purge: &Purge) -> PurgeReport {
        let mut ledger = self.store.ledger.lock();
        let record = ledger.past.purge(purge);
        self.note(&ledger, Some(record));
        let reached = ledger.reach(&purge.selector);
        let fate = if purge.soft { Fate::Stale } else { Fate::Gone };
        self.take_away(ledger, &reached, purge.selector.kind(), fate)
    }

    /// Removes what is stored for a key, with all its variants, for an answer that takes its place: an unsafe method
    /// succeeded and brought it. Returns the ticket to store it with; nothing when another purge has reached the key
    /// since `asked`, which may have been for what this answer still says.
    #[must_use]
    pub fn supersede(&self, key: Key<'_>, asked: FillTicket) -> Option<FillTicket> {
        let ledger = self.store.ledger.lock();
        // Its surrogate keys are not known yet; whether a purge reached those is seen at its head.
        let since = ledger.past.since_asked(asked, key, &[]);
        let generation = self.unlist(ledger, key).generation;
        (since.any() == 0).then_some(FillTicket {
            generation,
            asked: asked.asked,
        })
    }

    fn unlist(&self, mut ledger: MutexGuard<'_, Ledger>, key: Key<'_>) -> PurgeReport {
        // From disk too, whatever memory has of it: what waits to be written may have left memory already.
        let kept = self.store.kept.as_ref();
        let may_return = kept.is_some_and(|kept| kept.tier.remove(key.hash()));
        let record = if is_plain(key.text()) {
            ledger.past.invalidate(key.hash(), may_return)
        } else {
            // Not by clients, who cannot send such requests for these.
            Some(ledger.past.purge(&Purge {
                selector: PurgeSelector::Key(Arc::from(key.text())),
                soft: false,
            }))
        };
        self.note(&ledger, record);
        // Those that the disk has are of a set that is no more.
        ledger.variants_since.forget(KeyHash::of_variants(key));
        let reached = ledger.reach_key(key);
        self.take_away(ledger, &reached, "key", Fate::Unlisted)
    }

    /// Publishes the generation that was just opened, and has it written down.
    fn note(&self, ledger: &Ledger, record: Option<LogRecord>) {
        let store = &self.store;
        let generation = ledger.past.generation();
        store.generation.store(generation, Ordering::Release);
        if let (Some(kept), Some(record)) = (&store.kept, record) {
            kept.purges.append(record, &ledger.past);
        }
    }

    fn take_away(
        &self,
        mut ledger: MutexGuard<'_, Ledger>,
        reached: &Reached,
        selector: &str,
        fate: Fate,
    ) -> PurgeReport {
        let store = &self.store;
        let counted = [selector, fate.word()];
        store.metrics.purges.with_label_values(&counted).inc();
        let (generation, now_ms) = (ledger.past.generation(), store.now_ms());
        for slot in &reached.stored {
            if fate == Fate::Stale {
                if let Some(entity) = ledger.index.get(*slot) {
                    entity.expire(generation, now_ms);
                }
            } else if let Some(entity) = store.drop_slot(&mut ledger, *slot) {
                entity.withdraw();
                if fate == Fate::Gone {
                    entity.kill();
                }
                let hash = entity.key().hash();
                ledger.misses.remember(hash, MissReason::Purged);
                if let Some(kept) = &store.kept {
                    kept.tier.remove(*slot);
                }
            }
        }
        for entity in &reached.fills {
            // One that is stored in part too: what its slices bring was asked for before the purge.
            if ledger
                .index
                .get(entity.subject.slot)
                .is_some_and(|held| held.id == entity.id)
            {
                store.drop_slot(&mut ledger, entity.subject.slot);
            }
            entity.withdraw();
            entity.expire(generation, now_ms);
            ledger.linger(entity);
        }
        for entity in &reached.lingering {
            entity.expire(generation, now_ms);
            if fate != Fate::Stale {
                entity.withdraw();
            }
        }
        if fate == Fate::Gone {
            for entity in reached.fills.iter().chain(&reached.lingering) {
                entity.kill();
            }
        }
        for flight in &reached.flights {
            flight.settle(Outcome::AskAgain);
        }
        store.measure(&ledger);
        drop(ledger);
        store.metrics.purged.inc_by(reached.stored.len() as u64);
        PurgeReport {
            generation,
            objects: reached.stored.len(),
            fills: reached.fills.len() + reached.flights.len(),
        }
    }
}
