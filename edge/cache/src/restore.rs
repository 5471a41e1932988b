//! To the disk tier and back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, StatusCode};

use crate::account::{Share, counted};
use crate::body::{Body, CHUNK_BYTES};
use crate::disk_reading;
use crate::disk_tier::{Accepted, DiskHead, DiskRecord};
use crate::entity::{DiskBody, Entity, Subject};
use crate::head::{HeadCell, StoredHead};
use crate::key::{Key, KeyHash, OwnedKey};
use crate::memories::MissReason;
use crate::store::{Kept, Store};
use crate::vary::{Selecting, Variant, slots_by_rules};

/// How long what was found on the disk waits for the memory of its head, before its origin is asked instead.
const HEAD_WAIT_MAX: Duration = Duration::from_secs(1);

/// Bodies up to this long are written into their heads' records, bytes.
const SHORT_BODY_BYTES_MAX: usize = 32 << 10;

/// What is read from the disk is stored in memory without more ado while this part of the memory is free.
const FREE_PART: u64 = 16;

/// What a stored response takes beside its body, roughly, bytes.
const READ_BYTES: u64 = 3 << 10;

/// What the disk has for a request.
struct Found {
    slot: KeyHash,
    head: Box<DiskHead>,
    /// The generation in which the first of the key's variants was asked for.
    since: u64,
}

impl Store {
    /// Queues a complete entity for the disk.
    pub(crate) fn give_to_disk(self: &Arc<Self>, entity: &Arc<Entity>) {
        let Some(kept) = &self.kept else { return };
        let Some(body) = entity.body.sealed() else {
            return;
        };
        if entity.disk.get().is_some() {
            return;
        }
        let slot = entity.subject.slot;
        let body_id = (u128::from(kept.epoch) << 64) | u128::from(entity.id);
        let accepted = if body.is_regular() {
            let head = self.disk_head(entity, &entity.head(), entity.head_generation(), body_id);
            let chunks = match head.body {
                Some(_) => Vec::new(),
                None => body.chunks().to_vec(),
            };
            kept.tier.store(slot, head, chunks)
        } else {
            Accepted::Dropped
        };
        match accepted {
            Accepted::Queued => {
                self.metrics.disk("queued");
                let _ = entity.disk.set(DiskBody {
                    tier: Arc::clone(&kept.tier),
                    body_id,
                    keeper: self.keeper(),
                });
            }
            Accepted::Dropped => {
                self.metrics.disk("dropped");
                // What the slot had is older than what memory has.
                kept.tier.remove(slot);
            }
        }
    }

    /// Writes down what a revalidation brought.
    pub(crate) fn rewrite_head(&self, entity: &Entity, head: &StoredHead, generation: u64) {
        if let (Some(kept), Some(disk)) = (&self.kept, entity.disk.get()) {
            let head = self.disk_head(entity, head, generation, disk.body_id);
            kept.tier
                .store_record(entity.subject.slot, DiskRecord::Head(Box::new(head)));
        }
    }

    fn disk_head(
        &self,
        entity: &Entity,
        head: &StoredHead,
        generation: u64,
        body_id: u128,
    ) -> DiskHead {
        DiskHead {
            key: Arc::clone(entity.key().text()),
            vary: entity
                .variant()
                .fields()
                .map(|(name, value)| (name.as_str().to_owned(), value.map(<[u8]>::to_vec)))
                .collect(),
            status: head.status.as_u16(),
            headers: head.headers.clone(),
            lifetimes: head.lifetimes,
            generation,
            body_generation: entity.generation,
            tags: Arc::clone(&entity.subject.tags),
            total_len: entity.total_len().unwrap_or(0),
            chunk_bytes: u32::try_from(CHUNK_BYTES).unwrap_or(u32::MAX),
            body_id,
            body: short_body(entity),
        }
    }

    /// Brings back what the disk has for a request. The body's first chunk comes with it, the others when they are read.
    pub(crate) async fn restore(
        self: &Arc<Self>,
        key: Key<'_>,
        request: &dyn Selecting,
    ) -> Result<Arc<Entity>, MissReason> {
        // Before anything is read: what takes the key away from here on takes away what is read.
        let asked = self.generation.load(Ordering::Acquire);
        let found = match &self.kept {
            Some(kept) => self.find(kept, key, request, asked).await,
            None => Err(MissReason::NeverSeen),
        };
        let mut found = found.inspect_err(|_| self.metrics.disk("absent"))?;
        let (subject, head) = parse(key, &mut found).ok_or(MissReason::NeverSeen)?;
        // It is little, and without it there is no answer from the disk at all.
        let bytes = weight(&subject, &head, &found);
        let attempt = || self.take_before_stored(bytes);
        let share = self.account.in_turn(HEAD_WAIT_MAX, attempt).await;
        let share = share.ok_or(MissReason::Evicted)?;
        let entity = self.revive(key, found, (subject, head), share, asked)?;
        if let Some(disk) = entity.disk.get()
            && !entity.passes()
            && !entity.body.holds(&(0..1))
        {
            // A chunk that is not there is a hole, which whoever reads it finds.
            let _ = disk_reading::load(&entity, disk, 0).await;
        }
        entity.body.seal();
        self.metrics.restored.inc();
        Ok(entity)
    }

    /// The same without waiting, for a response that does not vary: nothing says nothing.
    pub(crate) fn restore_now(self: &Arc<Self>, key: Key<'_>) -> Option<Arc<Entity>> {
        let kept = self.kept.as_ref()?;
        let asked = self.generation.load(Ordering::Acquire);
        let DiskRecord::Head(head) = kept.tier.load_now(key.hash())? else {
            return None;
        };
        if *head.key != *key.text() || !head.vary.is_empty() || self.account.has_waiting() {
            return None;
        }
        let mut found = Found {
            slot: key.hash(),
            head,
            since: 0,
        };
        let (subject, head) = parse(key, &mut found)?;
        let share = self.take_before_stored(weight(&subject, &head, &found))?;
        let entity = self
            .revive(key, found, (subject, head), share, asked)
            .ok()?;
        self.metrics.restored.inc();
        Some(entity)
    }

    async fn find(
        &self,
        kept: &Kept,
        key: Key<'_>,
        request: &dyn Selecting,
        asked: u64,
    ) -> Result<Found, MissReason> {
        match self.record(kept, key.hash()).await {
            Some(DiskRecord::Head(head)) if *head.key == *key.text() && head.vary.is_empty() => {
                Ok(Found {
                    slot: key.hash(),
                    head,
                    since: 0,
                })
            }
            Some(DiskRecord::Rules {
                key: text,
                rules,
                since,
            }) if text == key.text() => {
                self.note_variants(key, since, asked);
                for slot in slots_by_rules(key.hash(), &rules, request) {
                    if kept.tier.may_hold(slot)
                        && let Some(DiskRecord::Head(head)) = self.record(kept, slot).await
                        && *head.key == *key.text()
                        && head.body_generation >= since
                    {
                        return Ok(Found { slot, head, since });
                    }
                }
                // Which others there are it does not know: whoever may be given another looks for that one.
                Err(MissReason::Variant)
            }
            Some(DiskRecord::Head(_) | DiskRecord::Rules { .. }) | None => {
                Err(MissReason::NeverSeen)
            }
        }
    }

    /// Remembers how old the variants on the disk may be, so that one that joins them does not take their place.
    fn note_variants(&self, key: Key<'_>, since: u64, asked: u64) {
        let mut ledger = self.ledger.lock();
        if ledger.past.invalidated_since(asked, key) == 0 {
            let key = KeyHash::of_variants(key);
            ledger.variants_since.remember(key, since);
        }
    }

    async fn record(&self, kept: &Kept, slot: KeyHash) -> Option<DiskRecord> {
        match kept.tier.load(slot).await {
            Ok(record) => record,
            Err(_) => {
                self.metrics.disk("failed");
                None
            }
        }
    }

    /// Makes an entity of a record, unless it was purged since, and stores it in memory.
    fn revive(
        self: &Arc<Self>,
        key: Key<'_>,
        found: Found,
        (subject, head): (Subject, StoredHead),
        mut share: Share,
        asked: u64,
    ) -> Result<Arc<Entity>, MissReason> {
        let Found {
            slot,
            head: record,
            since: variants_since,
        } = found;
        let kept = self.kept.as_ref().ok_or(MissReason::NeverSeen)?;
        let head_bytes = head.text_bytes();
        // A revalidation brings another head, and this one's share goes with it.
        let cell_share = share.split(head.weight()).ok_or(MissReason::Evicted)?;
        let body = match record.body {
            Some(body) => {
                // It holds the record around it.
                let bytes = body.len() as u64 + head_bytes;
                let room = share.split(bytes).ok_or(MissReason::Evicted)?;
                Body::whole(counted(body, room))
            }
            None => Body::new(Some(record.total_len)),
        };
        let mut entity = Entity::new(
            self.id(),
            subject,
            record.body_generation,
            HeadCell::new(head, record.generation, cell_share),
            body,
            share,
            self.wait(),
        );
        entity.order = 0;
        let entity = Arc::new(entity);
        let _ = entity.disk.set(DiskBody {
            tier: Arc::clone(&kept.tier),
            body_id: record.body_id,
            keeper: self.keeper(),
        });
        let mut ledger = self.ledger.lock();
        if let Some(held) = ledger.index.get(slot)
            && held.key().text() == entity.key().text()
        {
            return Ok(Arc::clone(held));
        }
        let tags = entity.tags();
        let since = ledger.past.since_kept(record.body_generation, key, tags);
        // While it was read, somebody may have invalidated the key, or begun another set of its variants.
        let is_outdated = ledger.past.invalidated_since(asked, key) > 0
            || !entity.variant().is_none()
                && self
                    .vary
                    .since(key)
                    .is_some_and(|first| record.body_generation < first);
        if since.hard > 0 || is_outdated {
            self.metrics.disk("purged");
            kept.tier.remove(slot);
            ledger.misses.remember(key.hash(), MissReason::Purged);
            return Err(MissReason::Purged);
        }
        let since = ledger.past.since_kept(record.generation, key, tags);
        if since.soft > 0 {
            // When that was is not written down: before all that its origin allowed it to be stale for.
            entity.expire(since.soft, entity.head().lifetimes.received_ms);
        }
        if self.is_worth_memory(&entity) {
            self.enter(&mut ledger, &entity, variants_since);
            self.measure(&ledger);
        } else {
            entity.pass();
            // Purges find it there.
            ledger.linger(&entity);
        }
        Ok(entity)
    }

    /// Is what was read from the disk to be stored in memory? Where that would push out something else it must have been copied
    /// before, of late. What may be about to change is stored, so that all who want it see it change.
    fn is_worth_memory(&self, entity: &Entity) -> bool {
        let (len, held_bytes) = (entity.total_len().unwrap_or(0), entity.held_bytes());
        let bytes = len.max(held_bytes);
        let was_copied = self
            .again
            .lock()
            .read(entity.subject.slot, bytes + READ_BYTES);
        if held_bytes >= len {
            // A short body came with its head.
            entity.note_copied(self);
        }
        let memory = self.config.memory_bytes;
        let is_free = self.account.used() + bytes <= memory - memory / FREE_PART;
        was_copied || is_free || !entity.variant().is_none() || !entity.is_fresh(self.now_ms())
    }
}

/// The memory that an entity takes beside a body of chunks. A body that came with its head is in one piece with it.
fn weight(subject: &Subject, head: &StoredHead, found: &Found) -> u64 {
    let body = found.head.body.as_ref();
    let body = body.map_or(0, |body| body.len() as u64 + head.text_bytes());
    head.weight() + subject.weight() + body
}

/// The body of an entity that is kept with its head: it is read together with it.
fn short_body(entity: &Entity) -> Option<Bytes> {
    match entity.body.sealed()?.chunks() {
        [body] if body.len() <= SHORT_BODY_BYTES_MAX => Some(body.clone()),
        _ => None,
    }
}

/// The parts of a record, taken out of it; nothing when it is not what its slot says. Its key was compared.
fn parse(key: Key<'_>, found: &mut Found) -> Option<(Subject, StoredHead)> {
    let Found {
        slot, head: record, ..
    } = found;
    if u64::from(record.chunk_bytes) != CHUNK_BYTES {
        return None;
    }
    let fields = record
        .vary
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, value.as_ref().map(|value| value.as_slice().into())))
        })
        .collect::<Option<_>>()?;
    let subject = Subject {
        key: OwnedKey::sharing(key, Arc::clone(&record.key)),
        slot: *slot,
        variant: Variant::from_parts(fields),
        tags: Arc::clone(&record.tags),
    };
    if subject.variant.slot(key.hash()) != *slot {
        return None;
    }
    let status = StatusCode::from_u16(record.status).ok()?;
    let headers = std::mem::take(&mut record.headers);
    let head = StoredHead::new(status, headers, record.lifetimes);
    Some((subject, head))
}
