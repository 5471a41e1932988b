//! Carrying out purges: the feed's, which end readers, and those that clients' unsafe requests cause, which do not.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;

use crate::cache::Cache;
use crate::flight::{FillTicket, Outcome};
use crate::key::Key;
use crate::ledger::Ledger;
use crate::memories::MissReason;
use crate::purge::{Purge, PurgeReport, PurgeSelector};

/// Whom a purge that is not soft reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Those who read, too: nobody gets another byte.
    Readers,
    /// Those who come from now on.
    Newcomers,
}

impl Cache {
    /// Takes what is stored for a key, with all its variants, out of reach: an unsafe method succeeded on it (RFC 9111
    /// section 4.4). No lookup finds it and nobody joins it any more; readers that have begun go on, since any client may
    /// send such a request, and what they read was good when they began.
    pub fn invalidate(&self, key: Key<'_>) -> PurgeReport {
        let purge = Purge {
            selector: PurgeSelector::Key(Arc::from(key.text())),
            soft: false,
        };
        self.carry_out(self.store.ledger.lock(), &purge, Reach::Newcomers)
    }

    /// Carries out a purge. When it returns, no lookup finds what it removed, no fill asked for before it can be joined or
    /// stored, and readers of what it removed get no further. [`Self::flush_purges`] makes it outlive a restart.
    pub fn purge(&self, purge: &Purge) -> PurgeReport {
        self.carry_out(self.store.ledger.lock(), purge, Reach::Readers)
    }

    /// Removes what is stored for a key, with all its variants, for an answer that takes its place: an unsafe method
    /// succeeded and brought it. Returns the ticket to store it with; nothing when another purge has reached the key
    /// since `asked`, which may have been for what this answer still says.
    #[must_use]
    pub fn supersede(&self, key: Key<'_>, asked: FillTicket) -> Option<FillTicket> {
        let purge = Purge {
            selector: PurgeSelector::Key(Arc::from(key.text())),
            soft: false,
        };
        let ledger = self.store.ledger.lock();
        let since = ledger.history.since(asked.generation, key.text(), &[]);
        let generation = self.carry_out(ledger, &purge, Reach::Newcomers).generation;
        (since.any() == 0).then_some(FillTicket { generation })
    }

    fn carry_out(
        &self,
        mut ledger: MutexGuard<'_, Ledger>,
        purge: &Purge,
        reach: Reach,
    ) -> PurgeReport {
        let store = &self.store;
        let mode = match reach {
            Reach::Newcomers => "unlist",
            Reach::Readers if purge.soft => "soft",
            Reach::Readers => "hard",
        };
        let cuts = !purge.soft && reach == Reach::Readers;
        store
            .metrics
            .purges
            .with_label_values(&[purge.selector.kind(), mode])
            .inc();
        let record = ledger.history.purge(purge);
        let (generation, now_ms) = (record.generation, store.now_ms());
        store.generation.store(generation, Ordering::Release);
        if let Some(kept) = &store.kept {
            kept.purges.append(record, &ledger.history);
        }
        let reached = ledger.reach(&purge.selector);
        for slot in &reached.stored {
            if purge.soft {
                if let Some(entity) = ledger.index.get(*slot) {
                    entity.expire(generation, now_ms);
                }
            } else if let Some(entity) = store.drop_slot(&mut ledger, *slot) {
                entity.withdraw();
                if cuts {
                    entity.kill();
                }
                let hash = entity.key().hash();
                ledger.misses.remember(hash, MissReason::Purged);
                // Those who go on reading may need what only the disk has of it.
                if let Some(kept) = &store.kept
                    && (cuts || entity.is_complete())
                {
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
            if !purge.soft {
                entity.withdraw();
            }
        }
        if cuts {
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
