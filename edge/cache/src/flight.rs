//! One fetch for many: who leads it, and who waits for its head.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::crowd::{Crowd, FetchFailure, InVain};
use crate::entity::Entity;
use crate::filling::{Filling, NewResponse, Refused};
use crate::key::{KeyHash, OwnedKey};
use crate::store::Store;
use crate::vary::Selecting;

/// The generation in which a response is asked for. Taken before anything is sent to an origin, so that a purge that
/// comes while the origin answers is not missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FillTicket {
    /// What is stored with it is of this generation.
    pub(crate) generation: u64,
    /// Purges after this one reach it. The same but for an answer that takes the place of what its own request took away:
    /// that one invalidation does not reach it, and all else since it was asked for does.
    pub(crate) asked: u64,
}

impl FillTicket {
    pub(crate) fn of(generation: u64) -> Self {
        Self {
            generation,
            asked: generation,
        }
    }
}

/// What those who wait for a head learn.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Open,
    Shared(Arc<Entity>),
    Lent(Arc<Entity>),
    NotShareable(&'static str),
    Failed(FetchFailure),
    AskAgain,
    TooMany,
}

/// A fetch whose head has not come.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) id: u64,
    pub(crate) key: OwnedKey,
    pub(crate) slot: KeyHash,
    began: Instant,
    crowd: Crowd,
    outcome: watch::Sender<Outcome>,
}

impl Flight {
    pub(crate) fn new(id: u64, key: OwnedKey, slot: KeyHash, crowd: Crowd) -> Arc<Self> {
        Arc::new(Self {
            id,
            key,
            slot,
            began: Instant::now(),
            crowd,
            outcome: watch::Sender::new(Outcome::Open),
        })
    }

    /// The first word counts, later ones change nothing.
    pub(crate) fn settle(&self, outcome: Outcome) {
        self.outcome.send_if_modified(|held| {
            let is_open = matches!(held, Outcome::Open);
            if is_open {
                *held = outcome;
            }
            is_open
        });
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Outcome> {
        self.outcome.subscribe()
    }

    /// Does anybody wait for its head, beside the one who leads? Newcomers begin to under the ledger's lock.
    pub(crate) fn is_followed(&self) -> bool {
        self.outcome.receiver_count() > 0
    }
}

/// A request's part in a fetch.
#[derive(Debug)]
pub enum Join {
    /// Fetch it.
    Lead(Lead),
    /// Somebody does; wait for the head.
    Follow(Follow),
}

/// The right, and the duty, to fetch for all who wait. Dropped without a word, it tells them to ask again.
#[derive(Debug)]
pub struct Lead {
    pub(crate) store: Arc<Store>,
    pub(crate) flight: Arc<Flight>,
    pub(crate) ticket: FillTicket,
}

impl Lead {
    /// The ticket that the fetch was asked for with.
    #[must_use]
    pub fn ticket(&self) -> FillTicket {
        self.ticket
    }

    /// Waits until nobody waits for the head. From then on nobody can: the next who comes leads a fetch of his own. For a
    /// `select!` beside the fetch, once the one who caused it is gone.
    pub async fn unwanted(&self) {
        loop {
            self.flight.outcome.closed().await;
            if self.store.leave_unfollowed(&self.flight) {
                return;
            }
        }
    }

    /// The head has come and is to be stored: those who wait read on from here, newcomers too. The returned writer takes
    /// the body.
    ///
    /// # Errors
    /// Says why the response is not stored. Those who wait have been told; the caller passes the response through.
    pub fn begin(self, response: NewResponse) -> Result<Filling, Refused> {
        let begun = self.store.begin(&self, response);
        if let Err(refused) = &begun {
            self.flight.settle(Outcome::NotShareable(refused.as_str()));
        }
        begun
    }

    /// Those who wait get `entity`: a revalidation found it to be still good, or it may be served in spite of an error.
    pub fn share(self, entity: &Arc<Entity>) {
        self.store.end_flight(&self.flight);
        self.flight.settle(Outcome::Shared(Arc::clone(entity)));
    }

    /// The response is for this request alone. Those who wait go themselves; `remember` says that for a while nobody need
    /// wait for this key's fetches.
    pub fn not_shareable(self, reason: &'static str, remember: bool) {
        self.store.not_shareable(&self.flight, remember);
        self.flight.settle(Outcome::NotShareable(reason));
    }

    /// There is no response. Those who wait learn why; where it may lie with this request, a few of them may lead, one after
    /// the other.
    pub fn fail(self, failure: FetchFailure) {
        self.store.failed(&self.flight);
        self.flight.settle(Outcome::Failed(failure));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.store.end_flight(&self.flight);
        self.flight.settle(Outcome::AskAgain);
    }
}

/// What one who waited learns.
#[derive(Debug)]
pub enum Followed {
    /// Read this. It may still be in flight.
    Shared(Arc<Entity>),
    /// Read this, which is for those who waited alone: nobody who comes later finds it.
    Lent(Arc<Entity>),
    /// Go to the origin yourself; the reason is fit for `Cache-Status`.
    NotShareable(&'static str),
    /// The fetch died, a purge came, or the response is for other selecting headers: take a new ticket and join again, a
    /// bounded number of times.
    AskAgain,
    /// The fetch failed: that is the answer, unless it may lie with the request that it was made for. Then
    /// [`crate::engine::Cache::join_again`] says whether one more is worth it.
    Failed(FetchFailure, InVain),
    /// The wait was long enough, and the fetch is still under way: [`crate::engine::Cache::join_again`].
    TimedOut(InVain),
    /// Too many wait on this node already: go to the origin yourself.
    TooMany,
}

/// A place among those who wait for a head.
#[derive(Debug)]
pub struct Follow {
    outcome: watch::Receiver<Outcome>,
    /// The fetch that is waited for, and all who do.
    behind: Option<(u64, Crowd)>,
    began: Instant,
    _waiter: Option<Waiter>,
}

impl Follow {
    pub(crate) fn behind(flight: &Flight, waiter: Waiter) -> Self {
        Self {
            outcome: flight.watch(),
            behind: Some((flight.id, flight.crowd.clone())),
            began: flight.began,
            _waiter: Some(waiter),
        }
    }

    /// One whose wait is over already.
    pub(crate) fn settled(outcome: Outcome) -> Self {
        Self {
            outcome: watch::Sender::new(outcome).subscribe(),
            behind: None,
            began: Instant::now(),
            _waiter: None,
        }
    }

    /// When the fetch that is waited for began; now, where nothing is.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Waits for the head, `wait_max` at most. `request` tells whether the response is for this request too.
    pub async fn wait(mut self, request: &dyn Selecting, wait_max: Duration) -> Followed {
        let settled = self
            .outcome
            .wait_for(|outcome| !matches!(outcome, Outcome::Open));
        let outcome = match tokio::time::timeout(wait_max, settled).await {
            Ok(Ok(outcome)) => Some(outcome.clone()),
            // A flight that is gone without a word is a fetch that died.
            Ok(Err(_)) => Some(Outcome::AskAgain),
            Err(_) => None,
        };
        let (id, crowd) = self.behind.take().unwrap_or_default();
        let Some(outcome) = outcome else {
            return Followed::TimedOut(InVain {
                crowd,
                overdue: Some(id),
            });
        };
        match outcome {
            Outcome::Shared(entity)
                if !entity.is_withdrawn() && entity.variant().matches(request) =>
            {
                Followed::Shared(entity)
            }
            Outcome::Lent(entity) if !entity.is_purged() && entity.variant().matches(request) => {
                Followed::Lent(entity)
            }
            Outcome::NotShareable(reason) => Followed::NotShareable(reason),
            Outcome::Failed(failure) => {
                let overdue = None;
                Followed::Failed(failure, InVain { crowd, overdue })
            }
            Outcome::TooMany => Followed::TooMany,
            Outcome::Shared(_) | Outcome::Lent(_) | Outcome::AskAgain | Outcome::Open => {
                Followed::AskAgain
            }
        }
    }
}

/// One of the bounded number of those who wait.
#[derive(Debug)]
pub(crate) struct Waiter(Arc<AtomicU64>);

impl Waiter {
    pub(crate) fn enter(count: &Arc<AtomicU64>, max: u64) -> Option<Self> {
        count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                (waiting < max).then_some(waiting + 1)
            })
            .ok()?;
        Some(Self(Arc::clone(count)))
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
