//! The cache as the node sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::CONTENT_LENGTH;
use mcsp_runtime::SharedClock;
use parking_lot::Mutex;
use pingora_cache::key::{CacheHashKey, HashBinary};
use pingora_cache::lock::{CacheKeyLockImpl, CacheLock};
use pingora_cache::{CacheKey, CacheOptionOverrides};
use pingora_http::ResponseHeader;
use prometheus::Registry;
use serde::Serialize;
use thiserror::Error;

use crate::legacy::body::ChunkList;
use crate::legacy::budget::{Budget, Reservation};
use crate::legacy::config::{CacheConfig, CacheConfigError};
use crate::legacy::fill::{Fill, FillFailure, FillState};
use crate::legacy::ledger::Ledger;
use crate::legacy::meta::StoredMeta;
use crate::legacy::metrics::CacheMetrics;
use crate::legacy::object::{Object, Subject};
use crate::legacy::purge::{Purge, PurgeReport, Target};
use crate::legacy::tier::MemoryTier;

/// The response header that lists an object's surrogate keys, separated by spaces.
pub const SURROGATE_KEY: &str = "surrogate-key";

/// Chunks of complete objects: large enough that a hit is a few writes.
const CHUNK_BYTES: usize = 512 << 10;
/// More surrogate keys than this, or longer ones, and the object is not cached: a purge could not find it.
const TAGS_MAX: usize = 16;
const TAG_BYTES_MAX: usize = 256;

/// The generation in which a response is asked for. Taken before anything is sent to an origin and carried in the
/// cache key's extensions, so that a purge that comes while the origin answers is not missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FillTicket {
    pub(crate) generation: u64,
}

/// Why there is no cache.
#[derive(Debug, Error)]
pub enum CacheError {
    /// The configuration cannot be used.
    #[error("cache: {0}")]
    Config(#[from] CacheConfigError),
    /// The metrics are registered already.
    #[error("cache metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// What is held for a key.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Inspection {
    /// The key that was asked for.
    pub key: String,
    /// `fresh`, `stale` or `absent`.
    pub state: &'static str,
    /// The response's status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The body's length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Seconds until it is stale; negative when it is stale already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fresh_for_s: Option<i64>,
    /// Its surrogate keys.
    pub surrogate_keys: Vec<String>,
    /// Bytes that a fill in flight has, if there is one that newcomers may join.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filling_bytes: Option<u64>,
    /// The cache's generation: the number of purges so far.
    pub generation: u64,
}

/// The cache of one node.
#[derive(Debug)]
pub struct EdgeCache {
    config: CacheConfig,
    clock: SharedClock,
    tier: MemoryTier,
    ledger: Mutex<Ledger>,
    /// The ledger's, to be read without its lock: every cached request takes a ticket.
    generation: AtomicU64,
    budget: Arc<Budget>,
    next_id: AtomicU64,
    pub(crate) metrics: CacheMetrics,
    lock: &'static CacheLock,
}

impl EdgeCache {
    /// A cache that lives as long as the process does, which is what `pingora-cache` asks of a storage.
    ///
    /// # Errors
    /// When the configuration cannot be used, or when `registry` has a cache's metrics already.
    pub fn open(
        config: CacheConfig,
        clock: SharedClock,
        registry: &Registry,
    ) -> Result<&'static Self, CacheError> {
        config.validate()?;
        let metrics = CacheMetrics::register(registry)?;
        let lock = Box::leak(CacheLock::new_boxed(Duration::from_millis(
            config.lock_age_ms,
        )));
        Ok(Box::leak(Box::new(Self {
            tier: MemoryTier::new(config.memory_bytes, config.object_bytes_max),
            ledger: Mutex::default(),
            generation: AtomicU64::new(0),
            budget: Budget::new(config.fill_bytes_max),
            next_id: AtomicU64::new(1),
            metrics,
            lock,
            clock,
            config,
        })))
    }

    /// A cache key for `path`, with the ticket of this moment.
    #[must_use]
    pub fn key(&self, path: &str) -> CacheKey {
        let mut key = CacheKey::new(path, "");
        key.extensions.insert(self.ticket());
        key
    }

    /// The lock that lets one request fetch while others wait.
    #[must_use]
    pub fn lock(&self) -> &'static CacheKeyLockImpl {
        self.lock
    }

    /// How long a request waits behind [`Self::lock`].
    #[must_use]
    pub fn lock_options(&self) -> CacheOptionOverrides {
        let mut options = CacheOptionOverrides::default();
        options.wait_timeout = Some(Duration::from_millis(self.config.lock_wait_ms));
        options
    }

    /// The largest object that is cached, bytes.
    #[must_use]
    pub fn object_bytes_max(&self) -> u64 {
        self.config.object_bytes_max
    }

    /// May this response be filled now? Says why not.
    ///
    /// # Errors
    /// A short reason, fit for `Cache-Status`.
    pub fn may_fill(&self, header: &ResponseHeader) -> Result<(), &'static str> {
        let length = content_length(header).unwrap_or(0);
        if length > self.config.object_bytes_max {
            return Err("too-large");
        }
        if !self.budget.has_room(length) {
            return Err("fill-memory-full");
        }
        if surrogate_keys(header).is_none() {
            return Err("surrogate-keys");
        }
        Ok(())
    }

    /// Carries out a purge. When it returns, no lookup finds what it removed, and no fill asked for before it can be
    /// joined or admitted.
    pub fn purge(&self, purge: &Purge) -> PurgeReport {
        self.purge_target(Target::Named(purge.selector.clone()), purge.soft)
    }

    pub(crate) fn purge_target(&self, target: Target, soft: bool) -> PurgeReport {
        let mode = if soft { "soft" } else { "hard" };
        self.metrics
            .purges
            .with_label_values(&[target.kind(), mode])
            .inc();
        // What is fresh until now is fresh now, so the expiry lies a moment back.
        let expiry = self.now() - Duration::from_millis(1);
        let mut ledger = self.ledger.lock();
        let reached = ledger.purge(target, soft);
        self.generation.store(reached.generation, Ordering::Release);
        for hash in &reached.objects {
            if soft {
                if let Some(object) = self.tier.get(hash) {
                    object.expire(reached.generation, expiry);
                }
            } else if let Some(object) = self.tier.remove(hash) {
                object.mark_purged();
            }
        }
        self.metrics
            .purged_objects
            .inc_by(reached.objects.len() as u64);
        self.measure(&ledger);
        PurgeReport {
            generation: reached.generation,
            objects: reached.objects.len(),
            fills: reached.fills,
        }
    }

    /// What is held for a key.
    #[must_use]
    pub fn inspect(&self, path: &str) -> Inspection {
        let hash = CacheKey::new(path, "").combined_bin();
        let object = self.tier.get(&hash);
        let now = self.now();
        let ledger = self.ledger.lock();
        let meta = object.as_ref().map(|object| object.meta());
        Inspection {
            key: path.to_owned(),
            state: match &meta {
                None => "absent",
                Some(meta) if meta.fresh_until >= now => "fresh",
                Some(_) => "stale",
            },
            status: meta.as_ref().map(|meta| meta.header.status.as_u16()),
            bytes: object.as_ref().map(|object| object.body.len()),
            fresh_for_s: meta
                .as_ref()
                .map(|meta| seconds_between(now, meta.fresh_until)),
            surrogate_keys: object
                .iter()
                .flat_map(|object| object.subject.tags.iter().map(|tag| tag.to_string()))
                .collect(),
            filling_bytes: ledger.joinable(&hash).map(|fill| fill.bytes()),
            generation: ledger.generation(),
        }
    }

    /// Bytes of complete objects.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.tier.usage() as u64
    }

    /// Bytes that fills in flight, and readers who are behind on them, hold.
    #[must_use]
    pub fn fill_bytes(&self) -> u64 {
        self.budget.used()
    }

    /// Has any complete object a key with `needle` in it? A whole scan: for checks of what must not be on a node.
    #[must_use]
    pub fn holds_key_with(&self, needle: &str) -> bool {
        self.ledger.lock().any_path(|path| path.contains(needle))
    }

    /// The time by the cache's clock.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        let ms = u64::try_from(self.clock.now_ms()).unwrap_or(0);
        UNIX_EPOCH + Duration::from_millis(ms)
    }

    pub(crate) fn stored(&self, hash: &HashBinary) -> Option<Arc<Object>> {
        self.tier.get(hash)
    }

    pub(crate) fn joinable(&self, hash: &HashBinary) -> Option<Arc<Fill>> {
        self.ledger.lock().joinable(hash)
    }

    pub(crate) fn fill(&self, id: u64) -> Option<Arc<Fill>> {
        self.ledger.lock().fill(id)
    }

    pub(crate) fn fill_wait(&self) -> Duration {
        Duration::from_millis(self.config.fill_wait_ms)
    }

    fn ticket(&self) -> FillTicket {
        FillTicket {
            generation: self.generation.load(Ordering::Acquire),
        }
    }

    pub(crate) fn ticket_of(&self, key: &CacheKey) -> FillTicket {
        key.extensions
            .get::<FillTicket>()
            .copied()
            .unwrap_or_else(|| self.ticket())
    }

    /// Begins a fill; nothing when memory for fills is short.
    pub(crate) fn begin(&self, key: &CacheKey, meta: StoredMeta) -> Option<Arc<Fill>> {
        let ticket = self.ticket_of(key);
        let reservation =
            Reservation::new(&self.budget, content_length(&meta.header).unwrap_or(0))?;
        let subject = Subject {
            hash: key.combined_bin(),
            path: Arc::from(key.primary_key_str().unwrap_or_default()),
            tags: surrogate_keys(&meta.header)?,
        };
        let fill = Arc::new(Fill::new(
            self.next_id.fetch_add(1, Ordering::Relaxed),
            subject,
            ticket.generation,
            meta,
            reservation,
            self.config.object_bytes_max,
        ));
        let mut ledger = self.ledger.lock();
        ledger.begin(&fill);
        self.measure(&ledger);
        Some(fill)
    }

    /// Ends a fill that has every byte: keeps it, unless a purge came since it was asked for.
    pub(crate) fn admit(&self, fill: &Arc<Fill>) {
        // Copied outside the lock; a purge in between is seen below.
        let body = fill.coalesced(CHUNK_BYTES);
        let mut ledger = self.ledger.lock();
        ledger.end(fill);
        if fill.is_superseded() {
            self.metrics.fills.with_label_values(&["superseded"]).inc();
        } else {
            self.keep(&mut ledger, fill, body);
            self.metrics.fills.with_label_values(&["admitted"]).inc();
        }
        self.measure(&ledger);
    }

    fn keep(&self, ledger: &mut Ledger, fill: &Fill, body: ChunkList) {
        let mut meta = fill.meta.clone();
        with_length(&mut meta.header, body.len());
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let object = Arc::new(Object::new(id, fill.subject.clone(), meta, body));
        ledger.index(&object);
        for left in self.tier.insert(&object) {
            self.metrics.evictions.inc();
            ledger.forget(&left);
        }
    }

    /// Ends a fill that died.
    pub(crate) fn abandon(&self, fill: &Fill, failure: FillFailure) {
        fill.settle(FillState::Failed(failure));
        self.metrics.fills.with_label_values(&["failed"]).inc();
        let mut ledger = self.ledger.lock();
        ledger.end(fill);
        self.measure(&ledger);
    }

    fn measure(&self, ledger: &Ledger) {
        let gauge = |value: usize| i64::try_from(value).unwrap_or(i64::MAX);
        self.metrics.bytes.set(gauge(self.tier.usage()));
        self.metrics.objects.set(gauge(ledger.objects()));
        self.metrics.fills_in_flight.set(gauge(ledger.fills()));
        self.metrics
            .fill_bytes
            .set(i64::try_from(self.budget.used()).unwrap_or(i64::MAX));
    }
}

/// The length is known now, so that ranges and clients may use it.
fn with_length(header: &mut ResponseHeader, bytes: u64) {
    header.remove_header("transfer-encoding");
    // A number is a valid header value.
    let _ = header.insert_header(CONTENT_LENGTH, bytes.to_string());
}

fn content_length(header: &ResponseHeader) -> Option<u64> {
    header
        .headers
        .get(CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// The surrogate keys of a response; nothing when they are more, or longer, than the index holds.
fn surrogate_keys(header: &ResponseHeader) -> Option<Arc<[Arc<str>]>> {
    let mut tags: Vec<Arc<str>> = Vec::new();
    for value in header.headers.get_all(SURROGATE_KEY) {
        for tag in value.to_str().ok()?.split_ascii_whitespace() {
            if tags.len() == TAGS_MAX || tag.len() > TAG_BYTES_MAX {
                return None;
            }
            tags.push(Arc::from(tag));
        }
    }
    Some(Arc::from(tags))
}

fn seconds_between(from: SystemTime, to: SystemTime) -> i64 {
    let whole = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    to.duration_since(from)
        .map_or_else(|past| -whole(past.duration()), whole)
}
