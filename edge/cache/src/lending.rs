//! Responses for those alone who wait for them: shared like any other, and not stored.

use std::sync::Arc;

use crate::filling::{Filling, NewResponse, Refused};
use crate::flight::{Lead, Outcome};
use crate::store::Store;

impl Lead {
    /// As [`Self::begin`], for what is good for those who wait now and for nobody who comes later: they read it as it comes,
    /// no lookup finds it, and it is not stored.
    ///
    /// # Errors
    /// Says why those who wait do not get it. They have been told; the caller passes the response through.
    pub fn lend(self, response: NewResponse) -> Result<Filling, Refused> {
        let lent = self.store.lend(&self, response);
        if let Err(refused) = &lent {
            self.flight.settle(Outcome::NotShareable(refused.as_str()));
        }
        lent
    }
}

impl Store {
    fn lend(self: &Arc<Self>, lead: &Lead, new: NewResponse) -> Result<Filling, Refused> {
        let filling = self.begin_as(lead, new, |entity| {
            let mut ledger = self.ledger.lock();
            entity.withdraw();
            // Purges find it there.
            ledger.linger(entity);
            let key = entity.key().borrow();
            let since = ledger.past.since_asked(lead.ticket, key, entity.tags());
            if since.any() > 0 {
                return Outcome::AskAgain;
            }
            Outcome::Lent(Arc::clone(entity))
        })?;
        self.metrics.fill("lent");
        Ok(filling.lent())
    }
}
