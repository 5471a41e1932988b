//! What may be worth fetching before anyone asks for it.

use std::sync::atomic::Ordering;

use crate::cache::Cache;
use crate::flight::FillTicket;
use crate::key::Key;
use crate::vary::Selecting;

impl Cache {
    /// Is there nothing for a request: nothing stored in memory or on disk, fresh or stale, nothing being filled or asked
    /// for, and nothing known that could not be shared? And did no purge reach the key since `ticket`?
    ///
    /// This is no lookup: it is not counted as one, and what is held does not seem to be in use for it.
    #[must_use]
    pub fn lacks(&self, key: Key<'_>, request: &dyn Selecting, ticket: FillTicket) -> bool {
        let store = &self.store;
        let slots = store.vary.slots(key, request);
        let is_held = store.tier.holds(key.hash())
            || slots.iter().any(|slot| store.tier.holds(slot))
            || store
                .kept
                .as_ref()
                .is_some_and(|kept| kept.tier.may_hold(key.hash()));
        if is_held {
            return false;
        }
        let slot = slots.iter().next().unwrap_or(key.hash());
        let is_unshared = store.unshared.has(slot);
        let ledger = store.ledger.lock();
        let is_purged = store.generation.load(Ordering::Acquire) != ticket.generation
            && ledger.past.since_asked(ticket, key, &[]).any() > 0;
        !is_unshared
            && !is_purged
            && ledger.filling(key, request).is_none()
            && ledger.flight(slot, key).is_none()
    }
}
