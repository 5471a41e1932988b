//! The cache as the node sees it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mcsp_runtime::SharedClock;
use parking_lot::Mutex;
use prometheus::Registry;
use thiserror::Error;

use crate::account::Account;
use crate::again::Again;
use crate::claim::Claim;
use crate::config::{CacheConfig, CacheConfigError};
use crate::disk_tier::DiskTier;
use crate::entity::Entity;
use crate::filling::Refused;
use crate::flight::FillTicket;
use crate::head::{HeadCell, StoredHead};
use crate::key::Key;
use crate::ledger::Ledger;
use crate::memories::MissReason;
use crate::memory::MemoryTier;
use crate::metrics::CacheMetrics;
use crate::past::Past;
use crate::purge_log::{NotDurable, PurgeLog, PurgeStore};
use crate::restoring::Turn;
use crate::store::{Kept, Store};
use crate::unshared::Unshared;
use crate::vary::{Selecting, VaryTable};

/// How long a closing cache waits for its purge log.
const PURGES_CLOSE_MAX: Duration = Duration::from_secs(5);

/// Why there is no cache.
#[derive(Debug, Error)]
pub enum CacheError {
    /// The configuration cannot be used.
    #[error("cache: {0}")]
    Config(#[from] CacheConfigError),
    /// The metrics are registered already.
    #[error("cache metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// What purges there were cannot be read or written.
    #[error("cache purge log: {0}")]
    Purges(#[source] std::io::Error),
}

/// What outlives a restart.
#[derive(Debug)]
pub struct Backing {
    /// Where responses are kept.
    pub tier: Arc<dyn DiskTier>,
    /// Where purges are kept. It must be as durable as `tier`: a response that outlives its purge would come back.
    pub purges: Box<dyn PurgeStore>,
}

/// What a lookup found.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// A stored response or one in flight; fresh or not is for the policy to say. A purge may come at any time: look at
    /// [`Entity::is_purged`] before the first byte is sent; readers look before each.
    Hit(Arc<Entity>),
    /// Nothing in memory, but the disk may have it: [`Cache::load`].
    OnDisk,
    /// Nothing.
    Miss(MissReason),
}

/// The cache of one node. Clones share it.
#[derive(Debug, Clone)]
pub struct Cache {
    pub(crate) store: Arc<Store>,
}

impl Cache {
    /// A cache in memory.
    ///
    /// # Errors
    /// When the configuration cannot be used, or when `registry` has a cache's metrics already.
    pub fn open(
        config: CacheConfig,
        clock: SharedClock,
        registry: &Registry,
    ) -> Result<Self, CacheError> {
        Self::build(config, clock, registry, None)
    }

    /// A cache in memory with a disk tier behind it.
    ///
    /// # Errors
    /// As [`Self::open`], and when the purge log cannot be read or written: without it, what was purged could come back.
    pub fn open_with(
        config: CacheConfig,
        clock: SharedClock,
        registry: &Registry,
        backing: Backing,
    ) -> Result<Self, CacheError> {
        Self::build(config, clock, registry, Some(backing))
    }

    fn build(
        config: CacheConfig,
        clock: SharedClock,
        registry: &Registry,
        backing: Option<Backing>,
    ) -> Result<Self, CacheError> {
        config.validate()?;
        let mut past = Past::default();
        let kept = match backing {
            None => None,
            Some(Backing { tier, purges }) => {
                let (purges, known, epoch) = PurgeLog::open(purges).map_err(CacheError::Purges)?;
                past = known;
                Some(Kept {
                    tier,
                    purges,
                    epoch,
                })
            }
        };
        // Those who wait for memory are bounded as those who wait for a fetch are.
        let waiters_max = usize::try_from(config.waiters_max).unwrap_or(usize::MAX);
        Ok(Self {
            store: Arc::new(Store {
                metrics: CacheMetrics::register(registry)?,
                account: Account::new(config.memory_bytes, waiters_max),
                fills: Account::new(config.fill_bytes_max, 0),
                tier: MemoryTier::new(config.memory_bytes, config.object_bytes_max),
                vary: VaryTable::new(usize::try_from(config.variants_max).unwrap_or(1)),
                unshared: Unshared::new(config.unshared_keys_max),
                generation: AtomicU64::new(past.generation()),
                ledger: Mutex::new(Ledger::with_past(past)),
                next_id: AtomicU64::new(1),
                waiters: Arc::default(),
                restoring: Arc::default(),
                clock,
                kept,
                again: Mutex::new(Again::new(config.memory_bytes)),
                config,
            }),
        })
    }

    /// The time by the cache's clock, ms since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.store.now_ms()
    }

    /// The generation of this moment. To be taken before anything is sent to an origin.
    #[must_use]
    pub fn ticket(&self) -> FillTicket {
        FillTicket::of(self.store.generation.load(Ordering::Acquire))
    }

    /// What there is for a request: stored, or in flight and readable.
    #[must_use]
    pub fn lookup(&self, key: Key<'_>, request: &dyn Selecting) -> Lookup {
        match self.stored(key, request) {
            Some(entity) => {
                self.store.metrics.hits.inc();
                Lookup::Hit(entity)
            }
            None => self.look_further(key, request),
        }
    }

    pub(crate) fn stored(&self, key: Key<'_>, request: &dyn Selecting) -> Option<Arc<Entity>> {
        let is_it = |entity: &Arc<Entity>| {
            **entity.key().text() == *key.text()
                && entity.variant().matches(request)
                && !entity.is_withdrawn()
        };
        if let Some(entity) = self.store.tier.get(key.hash()).filter(is_it) {
            return Some(entity);
        }
        let slots = self.store.vary.slots(key, request);
        let found = slots
            .iter()
            .find_map(|slot| self.store.tier.get(slot).filter(is_it));
        if let Some(variant) = &found {
            variant.note_use(self.store.vary.age());
        }
        found
    }

    fn look_further(&self, key: Key<'_>, request: &dyn Selecting) -> Lookup {
        let store = &self.store;
        let ledger = store.ledger.lock();
        if let Some(entity) = ledger.filling(key, request) {
            store.metrics.lookup("fill");
            return Lookup::Hit(Arc::clone(entity));
        }
        if store
            .kept
            .as_ref()
            .is_some_and(|kept| kept.tier.may_hold(key.hash()))
        {
            store.metrics.on_disk.inc();
            return Lookup::OnDisk;
        }
        let reason = self.reason(&ledger, key);
        store.metrics.lookup(reason.as_str());
        Lookup::Miss(reason)
    }

    pub(crate) fn reason(&self, ledger: &Ledger, key: Key<'_>) -> MissReason {
        if !self.store.vary.all(key.hash()).is_empty() {
            return MissReason::Variant;
        }
        ledger
            .misses
            .get(key.hash())
            .unwrap_or(MissReason::NeverSeen)
    }

    /// Brings back into memory what the disk has, after [`Lookup::OnDisk`]. [`Lookup::Hit`] or [`Lookup::Miss`], with
    /// [`MissReason::Variant`] where the disk has had responses for other selecting headers. Ends within the disk tier's
    /// deadline.
    pub async fn load(&self, key: Key<'_>, request: &dyn Selecting) -> Lookup {
        if let Some(entity) = self.store.restore_now(key) {
            return Lookup::Hit(entity);
        }
        let turn = self.store.restoring.enter(key.hash());
        if let Turn::Second(mut done) = turn {
            // Ends when the sender is dropped. What the first found is in memory then, unless it is another variant.
            let _ = done.changed().await;
            if let Some(entity) = self.stored(key, request) {
                return Lookup::Hit(entity);
            }
        }
        match self.store.restore(key, request).await {
            Ok(entity) if entity.variant().matches(request) => Lookup::Hit(entity),
            Ok(_) => Lookup::Miss(MissReason::Variant),
            Err(reason) => Lookup::Miss(reason),
        }
    }

    /// A request's part in bringing what `entity` lacks of `range`: after [`crate::engine::ReadError::Hole`], and for
    /// slices of what is not stored yet. Widened to whole chunks of 256 KiB.
    #[must_use]
    pub fn claim(&self, entity: &Arc<Entity>, range: Range<u64>, ticket: FillTicket) -> Claim {
        self.store.claim(entity, range, None, ticket)
    }

    /// The same for what is not to wait for a writer that brings more than `far_bytes` before it: see
    /// [`crate::engine::Reader::is_far`].
    #[must_use]
    pub fn claim_far(
        &self,
        entity: &Arc<Entity>,
        range: Range<u64>,
        far_bytes: u64,
        ticket: FillTicket,
    ) -> Claim {
        self.store.claim(entity, range, Some(far_bytes), ticket)
    }

    /// No newcomer gets the entity; those who read it go on. For what cannot be completed.
    pub fn withdraw(&self, entity: &Arc<Entity>) {
        self.store.withdraw(entity);
    }

    /// Takes over what a revalidation (304, or the answer to HEAD) brought. `ticket` was taken before it was asked for.
    /// False when a purge came since: what it says is out of date.
    ///
    /// # Errors
    /// [`Refused::NoRoom`] when there is no memory for the new head.
    pub fn update_head(
        &self,
        entity: &Arc<Entity>,
        ticket: FillTicket,
        head: StoredHead,
    ) -> Result<bool, Refused> {
        let store = &self.store;
        let share = store.take(head.weight()).ok_or(Refused::NoRoom)?;
        let cell = HeadCell::new(head, ticket.generation, share);
        let ledger = store.ledger.lock();
        let key = entity.key().borrow();
        let since = ledger.past.since_asked(ticket, key, entity.tags());
        if since.any() > 0 || !entity.revalidate(Arc::clone(&cell)) {
            return Ok(false);
        }
        // One that is not stored may have been followed by another, which the disk has by now.
        let slot = entity.subject.slot;
        let holder = ledger.index.get(slot);
        let is_latest = holder.is_none_or(|held| held.id == entity.id);
        if !entity.is_withdrawn() && is_latest {
            store.rewrite_head(entity, &cell.head, ticket.generation);
        }
        Ok(true)
    }

    /// Waits until every purge and every invalidation so far would outlive a loss of power. At once without a disk tier.
    ///
    /// # Errors
    /// When that cannot be said; trying again may help.
    pub async fn flush_purges(&self) -> Result<(), NotDurable> {
        let Some(kept) = &self.store.kept else {
            return Ok(());
        };
        let waits = {
            let ledger = self.store.ledger.lock();
            kept.purges.flush(&ledger.past)
        };
        match waits.ok_or(NotDurable)?.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(NotDurable),
        }
    }

    /// Waits until every invalidation so far would outlive a loss of power, so that a client is answered only then. At once
    /// when nothing is on its way to the disk, which is so for keys that the disk never had.
    ///
    /// # Errors
    /// When that cannot be said. Nothing is tried again for it: see [`Self::flush_purges`].
    pub async fn flush_invalidations(&self) -> Result<(), NotDurable> {
        let Some(kept) = &self.store.kept else {
            return Ok(());
        };
        let waits = kept.purges.flush_if_well().ok_or(NotDurable)?;
        match waits.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(NotDurable),
        }
    }

    /// Writes out what the disk tier has queued, within its own bound, and closes it.
    pub async fn close(&self) {
        if let Some(kept) = &self.store.kept {
            // What could not be written down may be by now; what cannot holds until here.
            let _ = tokio::time::timeout(PURGES_CLOSE_MAX, self.flush_purges()).await;
            kept.tier.close().await;
        }
    }
}
