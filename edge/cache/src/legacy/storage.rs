//! The cache as pingora sees it.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use pingora_cache::key::{CacheHashKey, HashBinary};
use pingora_cache::storage::streaming_write::U64WriteId;
use pingora_cache::trace::SpanHandle;
use pingora_cache::{
    CacheKey, CacheMeta, HitHandler, MissHandler, PurgeOutcome, PurgeTarget, PurgeType, Storage,
};
use pingora_error::{Error, ErrorType, Result};

use crate::legacy::fill::Fill;
use crate::legacy::meta::StoredMeta;
use crate::legacy::object::Object;
use crate::legacy::purge::Target;
use crate::legacy::reader::BodyReader;
use crate::legacy::store::EdgeCache;
use crate::legacy::writer::FillWriter;

impl EdgeCache {
    /// A fresh object first; then a fill, which is newer than a stale object; then the stale object.
    fn find(&self, hash: &HashBinary) -> Option<(CacheMeta, HitHandler)> {
        let stored = self.stored(hash);
        let count = |found: &str| self.metrics.lookups.with_label_values(&[found]).inc();
        if let Some(object) = &stored
            && object.is_fresh(self.now())
        {
            count("fresh");
            return Some(hit_of_object(object));
        }
        if let Some(fill) = self.joinable(hash) {
            count("fill");
            return Some(self.hit_of_fill(fill));
        }
        count(if stored.is_some() { "stale" } else { "nothing" });
        stored.as_ref().map(hit_of_object)
    }

    fn hit_of_fill(&self, fill: Arc<Fill>) -> (CacheMeta, HitHandler) {
        let meta = fill.meta.to_cache_meta();
        (meta, Box::new(BodyReader::of_fill(fill, self.fill_wait())))
    }
}

fn hit_of_object(object: &Arc<Object>) -> (CacheMeta, HitHandler) {
    let meta = object.meta().to_cache_meta();
    (meta, Box::new(BodyReader::of_object(Arc::clone(object))))
}

#[async_trait]
impl Storage for EdgeCache {
    async fn lookup(
        &'static self,
        key: &CacheKey,
        _trace: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        Ok(self.find(&key.combined_bin()))
    }

    async fn lookup_streaming_write(
        &'static self,
        key: &CacheKey,
        streaming_write_tag: Option<&[u8]>,
        trace: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        let Some(tag) = streaming_write_tag else {
            return self.lookup(key, trace).await;
        };
        // The writer's own fill is held until the writer is done with it, purged or not.
        let id = U64WriteId::try_from(tag).map_or(0, u64::from);
        Ok(self.fill(id).map(|fill| self.hit_of_fill(fill)))
    }

    async fn get_miss_handler(
        &'static self,
        key: &CacheKey,
        meta: &CacheMeta,
        _trace: &SpanHandle,
    ) -> Result<MissHandler> {
        match self.begin(key, StoredMeta::of(meta)) {
            Some(fill) => Ok(Box::new(FillWriter::new(self, fill))),
            None => Error::e_explain(
                ErrorType::new("CacheFillRefused"),
                "no room for another fill",
            ),
        }
    }

    async fn purge(
        &'static self,
        target: PurgeTarget<'_>,
        _purge_type: PurgeType,
        _trace: &SpanHandle,
    ) -> Result<PurgeOutcome> {
        let report = self.purge_target(Target::Hash(target.key().combined_bin()), false);
        Ok(if report.objects == 0 {
            PurgeOutcome::NotFound
        } else {
            PurgeOutcome::Purged(None)
        })
    }

    async fn expire(
        &'static self,
        target: PurgeTarget<'_>,
        _trace: &SpanHandle,
    ) -> Result<PurgeOutcome> {
        let report = self.purge_target(Target::Hash(target.key().combined_bin()), true);
        Ok(if report.objects == 0 {
            PurgeOutcome::NotFound
        } else {
            PurgeOutcome::Expired
        })
    }

    async fn update_meta(
        &'static self,
        key: &CacheKey,
        meta: &CacheMeta,
        _trace: &SpanHandle,
    ) -> Result<bool> {
        let asked = self.ticket_of(key).generation;
        Ok(self
            .stored(&key.combined_bin())
            .is_some_and(|object| object.revalidate(asked, StoredMeta::of(meta))))
    }

    fn support_streaming_partial_write(&self) -> bool {
        true
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync + 'static) {
        self
    }
}
