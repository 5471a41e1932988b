//! A complete object.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::RwLock;
use pingora_cache::key::HashBinary;

use crate::legacy::body::ChunkList;
use crate::legacy::meta::StoredMeta;

/// What an object or a fill is called, so that purges find it.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) hash: HashBinary,
    /// The cache key as text, such as `/media/global/c_ng_…/v360/1.m4s`.
    pub(crate) path: Arc<str>,
    /// Its surrogate keys.
    pub(crate) tags: Arc<[Arc<str>]>,
}

/// Every byte of a response, and its head.
#[derive(Debug)]
pub(crate) struct Object {
    /// Tells objects under one key apart.
    pub(crate) id: u64,
    pub(crate) subject: Subject,
    pub(crate) body: ChunkList,
    meta: RwLock<StoredMeta>,
    weight: usize,
    /// The generation of the last soft purge; a revalidation that was asked for before it counts for nothing.
    expired_generation: AtomicU64,
    purged: AtomicBool,
}

impl Object {
    pub(crate) fn new(id: u64, subject: Subject, meta: StoredMeta, body: ChunkList) -> Self {
        let tags: usize = subject.tags.iter().map(|tag| tag.len() + 64).sum();
        let body_bytes = usize::try_from(body.len()).unwrap_or(usize::MAX);
        let weight = body_bytes
            .saturating_add(meta.weight())
            .saturating_add(2 * subject.path.len() + tags);
        Self {
            id,
            subject,
            body,
            meta: RwLock::new(meta),
            weight,
            expired_generation: AtomicU64::new(0),
            purged: AtomicBool::new(false),
        }
    }

    /// Bytes that count against the memory bound.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    pub(crate) fn meta(&self) -> StoredMeta {
        self.meta.read().clone()
    }

    pub(crate) fn is_fresh(&self, now: SystemTime) -> bool {
        self.meta.read().fresh_until >= now
    }

    /// Takes over what a revalidation brought, if it was asked for after the last soft purge.
    pub(crate) fn revalidate(&self, asked_generation: u64, meta: StoredMeta) -> bool {
        let mut held = self.meta.write();
        if asked_generation < self.expired_generation.load(Ordering::Acquire) {
            return false;
        }
        *held = meta;
        true
    }

    /// Makes it stale as of `generation`.
    pub(crate) fn expire(&self, generation: u64, instant: SystemTime) {
        let mut held = self.meta.write();
        self.expired_generation.store(generation, Ordering::Release);
        held.expire_at(instant);
    }

    /// Says that it must not be served any more.
    pub(crate) fn mark_purged(&self) {
        self.purged.store(true, Ordering::Release);
    }

    pub(crate) fn is_purged(&self) -> bool {
        self.purged.load(Ordering::Acquire)
    }
}
