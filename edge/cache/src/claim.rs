//! Bringing what a stored response lacks: the rest of a fill that died, and slices of what is stored in part.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::body::{CHUNK_BYTES, Promise};
use crate::entity::Entity;
use crate::filling::{Filling, Refused};
use crate::flight::{FillTicket, Outcome};
use crate::store::Store;

/// A request's part in bringing a range.
#[derive(Debug)]
pub enum Claim {
    /// Fetch [`Slice::range`] of it.
    Lead(Slice),
    /// Others bring all that is missing: just read.
    Follow,
    /// Nothing is missing: just read.
    Held,
    /// The entity may not take more: it was purged, its length is not known, or with the range it would be larger than
    /// what is stored. Fetch for this request alone.
    Alone,
}

/// The right, and the duty, to fetch a range for all who read the entity. Dropped, it leaves a hole.
#[derive(Debug)]
pub struct Slice {
    store: Arc<Store>,
    entity: Arc<Entity>,
    claim: u64,
    range: Range<u64>,
    ticket: FillTicket,
    begun: bool,
}

impl Slice {
    /// What to ask the origin for. It lies within what was claimed, and may be shorter: claim again for more.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// The origin answers with exactly this range of the representation that is stored: the caller has compared strong
    /// validators, the cache compares the length of the whole.
    ///
    /// # Errors
    /// [`Refused::Mismatch`] when the length of the whole is another: then the entity is withdrawn, as by
    /// [`Self::changed`]. [`Refused::NoRoom`] when there is no memory for it, or fills take all that they may.
    pub fn begin(mut self, total_len: u64) -> Result<Filling, Refused> {
        if self.entity.total_len() != Some(total_len) {
            self.store.withdraw(&self.entity);
            return Err(Refused::Mismatch);
        }
        let len = self.range.end - self.range.start;
        let room = self.store.room_for_fill(len).ok_or(Refused::NoRoom)?;
        self.begun = true;
        self.entity.fillings.fetch_add(1, Ordering::AcqRel);
        // What comes is listed again, unless a purge came since it was asked for: then only its readers get it.
        if let Outcome::AskAgain = self.store.list(&self.entity, self.ticket) {
            self.store.withdraw(&self.entity);
        }
        Ok(Filling::new(
            Arc::clone(&self.store),
            Arc::clone(&self.entity),
            self.claim,
            (self.range.start, Some(self.range.end)),
            room,
            false,
        ))
    }

    /// The origin has another representation by now: no newcomer gets the entity, and its holes stay holes.
    pub fn changed(self) {
        self.store.withdraw(&self.entity);
    }
}

impl Drop for Slice {
    fn drop(&mut self) {
        if !self.begun {
            self.entity.body.release(self.claim, false);
        }
    }
}

impl Store {
    /// Claims the first hole of `range`, widened to whole chunks. With `far_bytes`, what a writer will bring is one at the
    /// range's beginning, if that one brings more than this before it.
    pub(crate) fn claim(
        self: &Arc<Self>,
        entity: &Arc<Entity>,
        range: Range<u64>,
        far_bytes: Option<u64>,
        ticket: FillTicket,
    ) -> Claim {
        let Some(total) = entity.total_len() else {
            return if entity.is_filling() {
                Claim::Follow
            } else {
                Claim::Alone
            };
        };
        if entity.is_purged() {
            return Claim::Alone;
        }
        let start = range.start / CHUNK_BYTES * CHUNK_BYTES;
        let end = range
            .end
            .div_ceil(CHUNK_BYTES)
            .saturating_mul(CHUNK_BYTES)
            .min(total);
        if entity.holds(&(range.start..range.end.min(total))) {
            return Claim::Held;
        }
        // Readers that wait for a claim of theirs read on; those of a disk body load what the disk has.
        let promise = match far_bytes {
            Some(far_bytes) => entity.body.promise_far(range.start, start..end, far_bytes),
            None => entity.body.promise_hole(start..end),
        };
        let (claim, range) = match promise {
            Promise::Made { id, range } => (id, range),
            Promise::AllHeld => return Claim::Held,
            Promise::OthersAreAtIt => return Claim::Follow,
        };
        let slice = Slice {
            store: Arc::clone(self),
            entity: Arc::clone(entity),
            claim,
            range,
            ticket,
            begun: false,
        };
        let len = slice.range.end - slice.range.start;
        if entity.held_bytes() + len > self.config.object_bytes_max {
            return Claim::Alone;
        }
        Claim::Lead(slice)
    }
}
