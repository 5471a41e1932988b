//! A stored response, whole, in part or in flight.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use mcsp_edge_mapped::Owner;
use parking_lot::Mutex;

use crate::account::{Account, Share};
use crate::body::Body;
use crate::disk_tier::DiskTier;
use crate::filling::FillError;
use crate::head::{HeadCell, StoredHead};
use crate::key::{KeyHash, OwnedKey};
use crate::reader::Reader;
use crate::sealed::Sealed;
use crate::vary::Variant;

/// What is counted for an entity beside its head and body: its parts, and its places in the indexes.
const FIXED_BYTES: usize = 1536;
/// Of these, what its place takes until nobody remembers it: with the counters before it.
const PLACE_BYTES: usize = size_of::<Entity>() + 2 * size_of::<usize>();
const _: () = assert!(PLACE_BYTES < FIXED_BYTES, "the place is counted");

/// What a purge knows an entity by.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) key: OwnedKey,
    /// Where it is stored: the key's hash, or its variant's.
    pub(crate) slot: KeyHash,
    pub(crate) variant: Variant,
    pub(crate) tags: Arc<[Arc<str>]>,
}

impl Subject {
    /// The memory that it takes, roughly.
    pub(crate) fn weight(&self) -> u64 {
        let tags: usize = self.tags.iter().map(|tag| 2 * tag.len() + 64).sum();
        (FIXED_BYTES + 3 * self.key.text().len() + self.variant.weight() + tags) as u64
    }
}

/// Finds memory for what is brought back from the disk. A trait, so that entities do not name the store that holds
/// them: the compiler would go round that circle for ever.
pub(crate) trait Keeper: Debug + Send + Sync {
    /// A share of the memory; nothing when there is none.
    fn room(&self, bytes: u64) -> Option<Share>;

    /// A share of the memory for an answer that has begun: `most` bytes, or what there is down to `least`, for which all that
    /// is stored has to go.
    fn room_for_answer(&self, least: u64, most: u64) -> Option<Share>;

    /// A share of the memory for `bytes` that an answer has before it needs them; only where slow readers hold little.
    fn room_ahead(&self, bytes: u64) -> Option<Share>;

    /// What the shares are of.
    fn account(&self) -> &Account;

    /// An entity that is stored has grown.
    fn reweigh(&self, entity: &Entity);

    /// Some of what the disk has for a slot is copied into memory, for one reader or all.
    fn copied(&self, slot: KeyHash);
}

/// Where the disk tier has the body.
#[derive(Debug)]
pub(crate) struct DiskBody {
    pub(crate) tier: Arc<dyn DiskTier>,
    pub(crate) body_id: u128,
    pub(crate) keeper: Weak<dyn Keeper>,
}

/// A stored response: head and body. The body may be in flight or have holes; it says so.
#[derive(Debug)]
pub struct Entity {
    pub(crate) id: u64,
    pub(crate) subject: Subject,
    /// The purge generation in which the body was asked for.
    pub(crate) generation: u64,
    pub(crate) body: Body,
    head: ArcSwap<HeadCell>,
    /// The generation of the last soft purge that reached it.
    expired_generation: AtomicU64,
    /// When the first soft purge since its head was brought reached it, ms since the Unix epoch.
    expired_at_ms: AtomicI64,
    purged: AtomicBool,
    /// No newcomer gets it, and it is not stored: a purge came since it was asked for, it streams through, or its
    /// origin has something else by now.
    withdrawn: AtomicBool,
    /// Those who write it and have come to the head; changed before the ledger is.
    pub(crate) fillings: AtomicUsize,
    /// Later than that of what was asked for before; what the disk had comes before all.
    pub(crate) order: u64,
    pub(crate) weight: AtomicUsize,
    failure: OnceLock<FillError>,
    /// When somebody looked it up last among its key's variants, by [`crate::vary::VaryTable::age`].
    last_use: AtomicU64,
    pub(crate) disk: OnceLock<DiskBody>,
    /// It is not stored in memory: each who reads it has the disk's chunks for himself, and lets go of them.
    passes: AtomicBool,
    /// Some of it was copied from the disk.
    copied: AtomicBool,
    /// Its origin does not know ranges.
    whole_only: AtomicBool,
    /// Parts of it that its origin is asked for past the cache.
    seeks: AtomicUsize,
    pub(crate) wait: Duration,
    fixed_bytes: u64,
    share: Mutex<Share>,
    /// It lingers: how many of those that did are gone.
    lingers: OnceLock<Arc<AtomicUsize>>,
}

/// A place among those who ask for a part of a response past the cache; left when dropped.
#[derive(Debug)]
pub struct SeekPast(Arc<Entity>);

impl Drop for SeekPast {
    fn drop(&mut self) {
        self.0.seeks.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Entity {
    fn drop(&mut self) {
        if let Some(gone) = self.lingers.get() {
            gone.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Owner for Entity {
    fn may_be_sent(&self) -> bool {
        !self.is_purged()
    }
}

impl Entity {
    pub(crate) fn new(
        id: u64,
        subject: Subject,
        generation: u64,
        head: Arc<HeadCell>,
        body: Body,
        share: Share,
        wait: Duration,
    ) -> Self {
        let fixed_bytes = subject.weight() + head.head.weight();
        Self {
            id,
            subject,
            generation,
            body,
            head: ArcSwap::new(head),
            expired_generation: AtomicU64::new(0),
            expired_at_ms: AtomicI64::new(0),
            purged: AtomicBool::new(false),
            withdrawn: AtomicBool::new(false),
            fillings: AtomicUsize::new(0),
            order: id,
            weight: AtomicUsize::new(0),
            failure: OnceLock::new(),
            last_use: AtomicU64::new(0),
            disk: OnceLock::new(),
            passes: AtomicBool::new(false),
            copied: AtomicBool::new(false),
            whole_only: AtomicBool::new(false),
            seeks: AtomicUsize::new(0),
            wait,
            fixed_bytes,
            share: Mutex::new(share),
            lingers: OnceLock::new(),
        }
    }

    /// It is not stored, and somebody has it; once it has gone, `gone` is one more. False if that was known.
    pub(crate) fn begin_to_linger(&self, gone: &Arc<AtomicUsize>) -> bool {
        self.lingers.set(Arc::clone(gone)).is_ok()
    }

    /// The share of the memory that its place takes, for whoever remembers it: once it has gone, that place is left.
    pub(crate) fn place_share(&self) -> Option<Share> {
        self.share.lock().split(PLACE_BYTES as u64)
    }

    /// Tells entities apart, in this process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &OwnedKey {
        &self.subject.key
    }

    /// Its selecting headers.
    #[must_use]
    pub fn variant(&self) -> &Variant {
        &self.subject.variant
    }

    /// Its surrogate keys.
    #[must_use]
    pub fn tags(&self) -> &[Arc<str>] {
        &self.subject.tags
    }

    /// Its head, as the last revalidation left it.
    #[must_use]
    pub fn head(&self) -> Arc<StoredHead> {
        Arc::clone(&self.head.load().head)
    }

    /// The length of the whole body, once it is known.
    #[must_use]
    pub fn total_len(&self) -> Option<u64> {
        self.body.total()
    }

    /// Bytes of the body that are here.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.body.held()
    }

    /// Is every byte of the body in memory?
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.body.sealed().is_some()
    }

    /// Is somebody bringing more of the body?
    #[must_use]
    pub fn is_filling(&self) -> bool {
        self.body.has_claims()
    }

    /// Is every byte of `range` that the body has in memory?
    #[must_use]
    pub fn holds(&self, range: &Range<u64>) -> bool {
        self.body.holds(range)
    }

    /// Is every byte of `range` that the body has in memory, or being brought?
    #[must_use]
    pub fn is_coming(&self, range: &Range<u64>) -> bool {
        !self.is_purged() && self.body.is_coming(range)
    }

    /// Does the disk tier have the body? What of it is not in memory is loaded by readers.
    #[must_use]
    pub fn is_on_disk(&self) -> bool {
        self.disk.get().is_some()
    }

    /// The whole body in order, when it is complete. No copy, no lock.
    #[must_use]
    pub fn body_bytes(&self) -> Option<&[Bytes]> {
        self.body.sealed().map(Sealed::chunks)
    }

    /// One chunk of a complete body.
    #[must_use]
    pub fn chunk(&self, index: usize) -> Option<Bytes> {
        self.body_bytes()?.get(index).cloned()
    }

    /// Reads `range`, or less when the body ends before; wait-free when it is complete.
    #[must_use]
    pub fn reader(self: &Arc<Self>, range: Range<u64>) -> Reader {
        Reader::new(Arc::clone(self), range)
    }

    /// Was it made stale by a soft purge, and not revalidated since?
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.expired_generation.load(Ordering::Acquire) > self.head.load().generation
    }

    /// Since when it is stale by a soft purge, ms since the Unix epoch; nothing unless [`Self::is_expired`].
    #[must_use]
    pub fn expired_at_ms(&self) -> Option<i64> {
        self.is_expired()
            .then(|| self.expired_at_ms.load(Ordering::Acquire))
    }

    /// Fresh by its lifetimes, and not made stale since.
    #[must_use]
    pub fn is_fresh(&self, now_ms: i64) -> bool {
        let cell = self.head.load();
        now_ms < cell.head.lifetimes.fresh_until_ms
            && self.expired_generation.load(Ordering::Acquire) <= cell.generation
    }

    /// Was it removed by a hard purge? Nothing more of it may be sent.
    #[must_use]
    pub fn is_purged(&self) -> bool {
        self.purged.load(Ordering::Acquire)
    }

    /// Must newcomers not get it?
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }

    /// Why the first fill of it that failed did; nothing when none has.
    #[must_use]
    pub fn failure(&self) -> Option<FillError> {
        self.failure.get().copied()
    }

    /// Notes that its origin, asked for a part, sends the whole.
    pub fn note_whole_only(&self) {
        self.whole_only.store(true, Ordering::Relaxed);
    }

    /// Was its origin asked for a part, and sent the whole? Then parts are waited for.
    #[must_use]
    pub fn is_whole_only(&self) -> bool {
        self.whole_only.load(Ordering::Relaxed)
    }

    /// A place among those who ask its origin for a part past the cache, if fewer than `seeks_max` do.
    #[must_use]
    pub fn seek_past(self: &Arc<Self>, seeks_max: usize) -> Option<SeekPast> {
        let enter = |seeks: usize| (seeks < seeks_max).then_some(seeks + 1);
        self.seeks
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter)
            .ok()?;
        Some(SeekPast(Arc::clone(self)))
    }

    pub(crate) fn note_failure(&self, error: FillError) {
        // One that is there stays.
        let _ = self.failure.set(error);
    }

    /// Notes that somebody wants this variant. Seldom writes, since all who do share its memory.
    pub(crate) fn note_use(&self, age: u64) {
        if self.last_use.load(Ordering::Relaxed) != age {
            self.last_use.store(age, Ordering::Relaxed);
        }
    }

    pub(crate) fn last_use(&self) -> u64 {
        self.last_use.load(Ordering::Relaxed)
    }

    pub(crate) fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Release);
    }

    /// Made stale by the soft purge of `generation`, at `now_ms`. A later one does not make it younger. Called under the
    /// ledger's lock.
    pub(crate) fn expire(&self, generation: u64, now_ms: i64) {
        if !self.is_expired() {
            self.expired_at_ms.store(now_ms, Ordering::Release);
        }
        self.expired_generation
            .fetch_max(generation, Ordering::AcqRel);
    }

    /// Removed by a hard purge: its memory goes as soon as nobody holds a piece of it.
    pub(crate) fn kill(&self) {
        self.withdraw();
        self.purged.store(true, Ordering::Release);
        self.body.kill();
    }

    /// It left the memory while somebody reads it. What the disk has of it need not be held any longer: readers hold what they
    /// are at, no matter how much they have read. A whole body is read without a look at what is held; it stays.
    pub(crate) fn pass_on(&self) {
        if self.is_on_disk() && !self.is_complete() {
            self.passes.store(true, Ordering::Release);
            self.body.overrun();
        }
    }

    /// It was read from the disk and is not to be stored in memory.
    pub(crate) fn pass(&self) {
        self.passes.store(true, Ordering::Release);
    }

    /// Is it read without being stored in memory?
    pub(crate) fn passes(&self) -> bool {
        self.passes.load(Ordering::Acquire)
    }

    /// Some of it is copied from the disk: its keeper is told of the first time.
    pub(crate) fn note_copied(&self, keeper: &dyn Keeper) {
        if !self.copied.swap(true, Ordering::Relaxed) {
            keeper.copied(self.subject.slot);
        }
    }

    /// The generation in which its head was asked for.
    pub(crate) fn head_generation(&self) -> u64 {
        self.head.load().generation
    }

    /// Takes over what a revalidation brought, unless a purge came after it was asked for.
    pub(crate) fn revalidate(&self, cell: Arc<HeadCell>) -> bool {
        if cell.generation < self.expired_generation.load(Ordering::Acquire) || self.is_purged() {
            return false;
        }
        // A purge that comes between the check and here is later than the cell's generation, and so is seen by
        // `is_expired`.
        self.head.store(cell);
        true
    }

    /// What it takes of the memory tier now.
    pub(crate) fn weigh(&self) -> usize {
        let bytes = self.fixed_bytes.saturating_add(self.body.held());
        let weight = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.weight.store(weight, Ordering::Release);
        weight
    }
}
