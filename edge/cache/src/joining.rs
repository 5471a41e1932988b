//! Who leads a fetch, and who waits for it.

use std::sync::Arc;

use crate::cache::Cache;
use crate::crowd::{Crowd, InVain};
use crate::entity::Entity;
use crate::flight::{FillTicket, Flight, Follow, Join, Lead, Outcome, Waiter};
use crate::key::{Key, KeyHash};
use crate::ledger::Ledger;
use crate::vary::Selecting;

impl Cache {
    /// A request's part in the fetch of what is not there, or of what is to be revalidated (`known`): to lead it, or to
    /// wait for the head of one that is under way. What came since the lookup is handed to it at once.
    #[must_use]
    pub fn join(
        &self,
        key: Key<'_>,
        request: &dyn Selecting,
        ticket: FillTicket,
        known: Option<&Arc<Entity>>,
    ) -> Join {
        let mut ledger = self.store.ledger.lock();
        if let Some(follow) = self.follow(&ledger, key, request, known, None) {
            return Join::Follow(follow);
        }
        Join::Lead(self.lead(&mut ledger, key, request, ticket, Crowd::default()))
    }

    /// The same for one who waited in vain. A few of a crowd may lead, one after the other; one that does in place of a fetch
    /// that takes too long has newcomers wait for his. Nothing when enough have: what they learned is the answer.
    #[must_use]
    pub fn join_again(
        &self,
        key: Key<'_>,
        request: &dyn Selecting,
        ticket: FillTicket,
        known: Option<&Arc<Entity>>,
        in_vain: &InVain,
    ) -> Option<Join> {
        let mut ledger = self.store.ledger.lock();
        if let Some(follow) = self.follow(&ledger, key, request, known, in_vain.overdue) {
            return Some(Join::Follow(follow));
        }
        if !in_vain.crowd.elects() {
            self.store.metrics.join("none");
            return None;
        }
        let crowd = in_vain.crowd.clone();
        Some(Join::Lead(self.lead(
            &mut ledger,
            key,
            request,
            ticket,
            crowd,
        )))
    }

    /// What came since the lookup, or a place behind a fetch other than the one that is overdue.
    fn follow(
        &self,
        ledger: &Ledger,
        key: Key<'_>,
        request: &dyn Selecting,
        known: Option<&Arc<Entity>>,
        overdue: Option<u64>,
    ) -> Option<Follow> {
        let store = &self.store;
        let is_new = |entity: &Arc<Entity>| known.is_none_or(|known| known.id() != entity.id());
        let newer = ledger
            .filling(key, request)
            .filter(|entity| is_new(entity))
            .cloned()
            .or_else(|| {
                // What is stale by now is what is to be revalidated, not what somebody brought.
                self.stored(key, request)
                    .filter(|entity| is_new(entity) && entity.is_fresh(store.now_ms()))
            });
        if let Some(entity) = newer {
            store.metrics.join("follow");
            return Some(Follow::settled(Outcome::Shared(entity)));
        }
        let slot = self.slot_of(key, request);
        let flight = ledger.flight(slot, key)?;
        if Some(flight.id) == overdue {
            return None;
        }
        let Some(waiter) = Waiter::enter(&store.waiters, store.config.waiters_max) else {
            store.metrics.join("refused");
            return Some(Follow::settled(Outcome::TooMany));
        };
        store.metrics.join("follow");
        Some(Follow::behind(flight, waiter))
    }

    /// The slot that the answer to a request is expected for.
    fn slot_of(&self, key: Key<'_>, request: &dyn Selecting) -> KeyHash {
        let slots = self.store.vary.slots(key, request);
        slots.iter().next().unwrap_or(key.hash())
    }

    fn lead(
        &self,
        ledger: &mut Ledger,
        key: Key<'_>,
        request: &dyn Selecting,
        ticket: FillTicket,
        crowd: Crowd,
    ) -> Lead {
        let store = &self.store;
        let slot = self.slot_of(key, request);
        let flight = Flight::new(store.id(), key.to_owned(), slot, crowd);
        let goes_alone = store.unshared.has(slot)
            // Asked for before a purge: nobody else may be given it.
            || ledger.past.since_asked(ticket, key, &[]).any() > 0;
        if goes_alone {
            store.metrics.join("lead_alone");
        } else {
            store.metrics.join("lead");
            ledger.enter_flight(&flight);
        }
        Lead {
            store: Arc::clone(store),
            flight,
            ticket,
        }
    }
}
