//! What the parts of the cache share: memory, ledger and tiers, and every step that changes what is stored.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use mcsp_runtime::SharedClock;
use parking_lot::Mutex;

use crate::account::{Account, Share, counted};
use crate::again::Again;
use crate::body::Body;
use crate::config::CacheConfig;
use crate::disk_tier::{DiskRecord, DiskTier};
use crate::entity::{Entity, Keeper, Subject};
use crate::filling::{BodyPlan, FillError, FillRoom, Filling, NewResponse, Refused, Stored};
use crate::flight::{FillTicket, Flight, Lead, Outcome};
use crate::head::HeadCell;
use crate::key::KeyHash;
use crate::ledger::Ledger;
use crate::memories::MissReason;
use crate::memory::MemoryTier;
use crate::metrics::CacheMetrics;
use crate::purge_log::PurgeLog;
use crate::restoring::Restoring;
use crate::surrogate::within_bounds;
use crate::unshared::{Unshared, Why};
use crate::vary::VaryTable;

/// Times that room is made for one allocation before it is refused.
const SHED_TRIES: usize = 8;

/// What outlives a restart.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) tier: Arc<dyn DiskTier>,
    pub(crate) purges: PurgeLog,
    /// The number of this run; makes ids unique over runs.
    pub(crate) epoch: u64,
}

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) config: CacheConfig,
    pub(crate) clock: SharedClock,
    pub(crate) metrics: CacheMetrics,
    pub(crate) account: Arc<Account>,
    pub(crate) fills: Arc<Account>,
    pub(crate) tier: MemoryTier,
    pub(crate) vary: VaryTable,
    /// Slots whose fetches do not wait for one another.
    pub(crate) unshared: Unshared,
    pub(crate) ledger: Mutex<Ledger>,
    /// The ledger's, to be read without its lock: every miss takes a ticket.
    pub(crate) generation: AtomicU64,
    pub(crate) next_id: AtomicU64,
    pub(crate) waiters: Arc<AtomicU64>,
    pub(crate) restoring: Arc<Restoring>,
    pub(crate) kept: Option<Kept>,
    /// What was copied from the disk of late.
    pub(crate) again: Mutex<Again>,
}

impl Store {
    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    pub(crate) fn id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn wait(&self) -> Duration {
        Duration::from_millis(self.config.fill_wait_ms)
    }

    /// A share of the memory. Lets go of the least useful for it, as long as that gives memory back.
    pub(crate) fn take(&self, bytes: u64) -> Option<Share> {
        self.take_while(bytes, || {
            self.pinned_bytes() <= self.config.pinned_bytes_max
        })
    }

    /// A share of the memory for an answer that has begun, which comes before all that is stored: also when slow readers
    /// hold more than is theirs.
    pub(crate) fn take_before_stored(&self, bytes: u64) -> Option<Share> {
        self.take_while(bytes, || true)
    }

    fn take_while(&self, bytes: u64, may_shed: impl Fn() -> bool) -> Option<Share> {
        for _ in 0..SHED_TRIES {
            if let Some(share) = self.account.take(bytes) {
                return Some(share);
            }
            if !self.make_room(bytes, may_shed()) {
                return None;
            }
        }
        self.account.take(bytes)
    }

    /// A counted copy of `data`; nothing when there is no memory for it.
    pub(crate) fn keep(&self, data: &[u8]) -> Option<Bytes> {
        let share = self.take(data.len() as u64)?;
        Some(counted(Bytes::copy_from_slice(data), share))
    }

    /// What brings bytes back into memory, without holding the store.
    pub(crate) fn keeper(self: &Arc<Self>) -> Weak<dyn Keeper> {
        let weak: Weak<Self> = Arc::downgrade(self);
        weak
    }

    fn make_room(&self, bytes: u64, may_shed: bool) -> bool {
        let mut ledger = self.ledger.lock();
        if ledger.forget_many_gone() {
            return true;
        }
        if !may_shed {
            return false;
        }
        let departed = self.tier.shed(bytes);
        self.see_off(&mut ledger, &departed);
        self.measure(&ledger);
        drop(ledger);
        !departed.is_empty()
    }

    /// Bytes that are neither stored nor of fills: readers have them of what left.
    pub(crate) fn pinned_bytes(&self) -> u64 {
        self.account
            .used()
            .saturating_sub(self.tier.usage())
            .saturating_sub(self.fills.used())
    }

    /// Strikes off what the memory tier let go of.
    pub(crate) fn see_off(&self, ledger: &mut Ledger, departed: &[Arc<Entity>]) {
        for entity in departed {
            self.metrics.evictions.inc();
            if ledger.index.forget(entity) {
                self.leave_variants(entity);
                ledger
                    .misses
                    .remember(entity.key().hash(), MissReason::Evicted);
            }
            // `departed` has one; the index's is gone. More means that somebody reads it.
            if Arc::strong_count(entity) > 1 {
                entity.pass_on();
                ledger.linger(entity);
            }
        }
    }

    fn leave_variants(&self, entity: &Entity) {
        if !entity.variant().is_none() {
            self.vary.leave(entity.key().hash(), entity.subject.slot);
        }
    }

    /// Takes what is stored in a slot out of memory and off the index.
    pub(crate) fn drop_slot(&self, ledger: &mut Ledger, slot: KeyHash) -> Option<Arc<Entity>> {
        self.tier.remove(slot);
        let entity = ledger.index.leave(slot)?;
        self.leave_variants(&entity);
        ledger.linger(&entity);
        Some(entity)
    }

    /// The head of a fetch has come: see [`Lead::begin`].
    pub(crate) fn begin(
        self: &Arc<Self>,
        lead: &Lead,
        new: NewResponse,
    ) -> Result<Filling, Refused> {
        self.begin_as(lead, new, |entity| {
            self.unshared.forget(lead.flight.slot);
            self.list(entity, lead.ticket)
        })
    }

    /// `outcome` is what those learn who wait.
    pub(crate) fn begin_as(
        self: &Arc<Self>,
        lead: &Lead,
        new: NewResponse,
        outcome: impl FnOnce(&Arc<Entity>) -> Outcome,
    ) -> Result<Filling, Refused> {
        let NewResponse {
            head,
            body,
            variant,
            tags,
        } = new;
        if !within_bounds(&tags) {
            return Err(Refused::SurrogateKeys);
        }
        let (start, end, total, is_whole) = match body {
            BodyPlan::Whole { total_len } => (0, total_len, total_len, true),
            BodyPlan::Part { range, total_len } => {
                if range.start >= range.end || range.end > total_len {
                    return Err(Refused::Mismatch);
                }
                (range.start, Some(range.end), Some(total_len), false)
            }
        };
        let len = end.map_or(0, |end| end - start);
        if len > self.config.object_bytes_max {
            self.unshared.learn(lead.flight.slot, Why::TooLarge);
            return Err(Refused::TooLarge);
        }
        let key = lead.flight.key.clone();
        let subject = Subject {
            slot: variant.slot(key.hash()),
            key,
            variant,
            tags: tags.into(),
        };
        let room = self.room_for_fill(len).ok_or(Refused::NoRoom)?;
        let cell_share = self.take(head.weight()).ok_or(Refused::NoRoom)?;
        let entity_share = self.take(subject.weight()).ok_or(Refused::NoRoom)?;
        let generation = lead.ticket.generation;
        let entity = Arc::new(Entity::new(
            self.id(),
            subject,
            generation,
            HeadCell::new(head, generation, cell_share),
            Body::new(total),
            entity_share,
            self.wait(),
        ));
        let claim = entity.body.promise(start, end);
        entity.fillings.fetch_add(1, Ordering::AcqRel);
        let outcome = outcome(&entity);
        self.end_flight(&lead.flight);
        lead.flight.settle(outcome);
        Ok(Filling::new(
            Arc::clone(self),
            entity,
            claim,
            (start, end),
            room,
            is_whole,
        ))
    }

    /// What a fill of `len` bytes needs, before it begins: one that has begun is not to end for want of memory.
    pub(crate) fn room_for_fill(&self, len: u64) -> Option<FillRoom> {
        Some(FillRoom {
            share: self.fills.take(len)?,
            memory: self.take(len)?,
        })
    }

    /// Lets newcomers read an entity in flight, unless a purge came since it was asked for.
    pub(crate) fn list(&self, entity: &Arc<Entity>, ticket: FillTicket) -> Outcome {
        let mut ledger = self.ledger.lock();
        let key = entity.key().borrow();
        let since = ledger.past.since_asked(ticket, key, entity.tags());
        if since.any() > 0 {
            entity.withdraw();
            ledger.linger(entity);
            return Outcome::AskAgain;
        }
        if entity.is_withdrawn() {
            return Outcome::AskAgain;
        }
        ledger.list(entity);
        self.measure(&ledger);
        Outcome::Shared(Arc::clone(entity))
    }

    pub(crate) fn end_flight(&self, flight: &Flight) {
        self.ledger.lock().leave_flight(flight);
    }

    /// Ends a flight that nobody waits behind; false when somebody does.
    pub(crate) fn leave_unfollowed(&self, flight: &Flight) -> bool {
        let mut ledger = self.ledger.lock();
        let is_unfollowed = !flight.is_followed();
        if is_unfollowed {
            ledger.leave_flight(flight);
        }
        is_unfollowed
    }

    pub(crate) fn not_shareable(&self, flight: &Flight, remember: bool) {
        let mut ledger = self.ledger.lock();
        ledger.leave_flight(flight);
        ledger
            .misses
            .remember(flight.key.hash(), MissReason::NotShareable);
        if remember {
            self.unshared.learn(flight.slot, Why::Origin);
        }
    }

    /// A fetch came to nothing.
    pub(crate) fn failed(&self, flight: &Flight) {
        let mut ledger = self.ledger.lock();
        ledger.leave_flight(flight);
        let key = flight.key.hash();
        ledger.misses.remember(key, MissReason::FillFailed);
    }

    /// No newcomer gets it, and it is not stored; those who read it go on.
    pub(crate) fn withdraw(&self, entity: &Arc<Entity>) {
        let mut ledger = self.ledger.lock();
        entity.withdraw();
        ledger.unlist(entity);
        if ledger
            .index
            .get(entity.subject.slot)
            .is_some_and(|held| held.id == entity.id)
        {
            self.drop_slot(&mut ledger, entity.subject.slot);
        } else {
            ledger.linger(entity);
        }
        self.measure(&ledger);
    }

    /// A fill died. What it brought stays with those who read it; a response stored in part keeps what it had.
    pub(crate) fn abandon(&self, entity: &Arc<Entity>, error: FillError) {
        self.metrics.fill(error.as_str());
        let mut ledger = self.ledger.lock();
        if entity.fillings.fetch_sub(1, Ordering::AcqRel) == 1 {
            ledger.unlist(entity);
            if ledger.index.get(entity.subject.slot).is_none() {
                ledger
                    .misses
                    .remember(entity.key().hash(), MissReason::FillFailed);
            }
            ledger.linger(entity);
        }
        self.measure(&ledger);
    }

    /// A fill came to its end: stores the entity if it is whole, or may be stored in part, and no purge came.
    pub(crate) fn settle(self: &Arc<Self>, entity: &Arc<Entity>) -> Stored {
        let was_whole = entity.is_complete();
        let is_whole = entity.body.seal();
        let mut ledger = self.ledger.lock();
        if entity.fillings.fetch_sub(1, Ordering::AcqRel) == 1 {
            ledger.unlist(entity);
        }
        let outcome = if entity.is_withdrawn() {
            ledger.linger(entity);
            Stored::Not
        } else if was_whole {
            // Whoever brought what was missing last has stored it.
            Stored::Complete
        } else if is_whole || entity.total_len().is_some() {
            self.admit(&mut ledger, entity, is_whole)
        } else {
            ledger.linger(entity);
            Stored::Not
        };
        self.measure(&ledger);
        drop(ledger);
        self.metrics.fill(match outcome {
            Stored::Complete => "complete",
            Stored::Part => "part",
            Stored::Not => "superseded",
        });
        outcome
    }

    fn admit(
        self: &Arc<Self>,
        ledger: &mut Ledger,
        entity: &Arc<Entity>,
        is_whole: bool,
    ) -> Stored {
        let slot = entity.subject.slot;
        if ledger
            .index
            .get(slot)
            .is_some_and(|held| held.order > entity.order)
        {
            ledger.linger(entity);
            return Stored::Not;
        }
        let key = KeyHash::of_variants(entity.key().borrow());
        let since = match ledger.variants_since.get(key) {
            Some(since) => since.min(entity.generation),
            None => entity.generation,
        };
        self.enter(ledger, entity, since);
        if is_whole {
            self.give_to_disk(entity);
            Stored::Complete
        } else {
            Stored::Part
        }
    }

    /// Puts an entity into memory and on the index, in place of what had its slot and of what it makes unreachable.
    /// `since` is the generation in which the first of the key's variants was asked for, as far as that is known.
    pub(crate) fn enter(self: &Arc<Self>, ledger: &mut Ledger, entity: &Arc<Entity>, since: u64) {
        let key = entity.key();
        let gone = if entity.variant().is_none() {
            // A response that does not vary answers what all its variants answered.
            ledger
                .variants_since
                .forget(KeyHash::of_variants(key.borrow()));
            self.vary.all(key.hash())
        } else {
            entity.note_use(self.vary.age());
            let (rules, since, mut gone) = self.vary.enter(
                key.hash(),
                key.text(),
                entity.variant(),
                entity.subject.slot,
                since,
                |slot| ledger.index.get(slot).map_or(0, |held| held.last_use()),
            );
            if let Some(kept) = &self.kept {
                let rules = rules
                    .iter()
                    .map(|names| names.iter().map(|name| name.as_str().to_owned()).collect())
                    .collect();
                kept.tier.store_record(
                    key.hash(),
                    DiskRecord::Rules {
                        key: key.text().to_string(),
                        rules,
                        since,
                    },
                );
            }
            gone.push(key.hash());
            gone
        };
        for slot in gone {
            self.drop_slot(ledger, slot);
        }
        if let Some(former) = ledger.index.enter(entity) {
            ledger.linger(&former);
        }
        ledger.misses.forget(key.hash());
        let departed = self.tier.insert(entity);
        self.see_off(ledger, &departed);
    }

    pub(crate) fn measure(&self, ledger: &Ledger) {
        let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.metrics.bytes.set(gauge(self.tier.usage()));
        self.metrics.used_bytes.set(gauge(self.account.used()));
        self.metrics.objects.set(gauge(ledger.index.len() as u64));
        self.metrics.fill_bytes.set(gauge(self.fills.used()));
        self.metrics
            .purge_bytes
            .set(gauge(ledger.past.bytes() as u64));
        self.metrics
            .fills_in_flight
            .set(gauge(ledger.fills() as u64));
    }
}
