//! What is kept of a response beside its body.

use std::time::SystemTime;

use pingora_cache::CacheMeta;
use pingora_http::ResponseHeader;

/// A copyable form of [`CacheMeta`], which has no `Clone`.
#[derive(Debug, Clone)]
pub(crate) struct StoredMeta {
    pub(crate) fresh_until: SystemTime,
    pub(crate) created: SystemTime,
    /// The moment that the object's age is counted from.
    epoch: SystemTime,
    stale_while_revalidate_s: u32,
    stale_if_error_s: u32,
    pub(crate) header: ResponseHeader,
}

impl StoredMeta {
    /// What is to be kept of `meta`.
    pub(crate) fn of(meta: &CacheMeta) -> Self {
        Self {
            fresh_until: meta.fresh_until(),
            created: meta.created(),
            epoch: meta.epoch(),
            stale_while_revalidate_s: meta.stale_while_revalidate_sec(),
            stale_if_error_s: meta.stale_if_error_sec(),
            header: meta.response_header_copy(),
        }
    }

    /// The form that pingora works with.
    pub(crate) fn to_cache_meta(&self) -> CacheMeta {
        let mut meta = CacheMeta::new(
            self.fresh_until,
            self.created,
            self.stale_while_revalidate_s,
            self.stale_if_error_s,
            self.header.clone(),
        );
        if self.epoch != self.created {
            meta.set_epoch_override(self.epoch);
        }
        meta
    }

    /// Makes the object stale from `instant` on; never makes it fresher.
    pub(crate) fn expire_at(&mut self, instant: SystemTime) {
        self.fresh_until = self.fresh_until.min(instant);
    }

    /// The memory that the head takes, roughly.
    pub(crate) fn weight(&self) -> usize {
        const FIXED: usize = 512;
        let headers: usize = self
            .header
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 64)
            .sum();
        FIXED + headers
    }
}
