//! What the cache counts.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

#[derive(Debug, Clone)]
pub(crate) struct CacheMetrics {
    pub(crate) lookups: IntCounterVec,
    pub(crate) fills: IntCounterVec,
    pub(crate) purges: IntCounterVec,
    pub(crate) purged_objects: IntCounter,
    pub(crate) evictions: IntCounter,
    pub(crate) bytes: IntGauge,
    pub(crate) objects: IntGauge,
    pub(crate) fill_bytes: IntGauge,
    pub(crate) fills_in_flight: IntGauge,
}

impl CacheMetrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            lookups: IntCounterVec::new(
                Opts::new(
                    "mcsp_cache_lookups_total",
                    "Lookups by what they found: fresh, stale, fill, nothing.",
                ),
                &["found"],
            )?,
            fills: IntCounterVec::new(
                Opts::new(
                    "mcsp_cache_fills_total",
                    "Fills by how they ended: admitted, superseded by a purge, failed.",
                ),
                &["outcome"],
            )?,
            purges: IntCounterVec::new(
                Opts::new(
                    "mcsp_cache_purges_total",
                    "Purges by selector and mode (hard, soft).",
                ),
                &["selector", "mode"],
            )?,
            purged_objects: IntCounter::new(
                "mcsp_cache_purged_objects_total",
                "Objects removed or made stale by purges.",
            )?,
            evictions: IntCounter::new(
                "mcsp_cache_evictions_total",
                "Objects that left to make room.",
            )?,
            bytes: IntGauge::new("mcsp_cache_bytes", "Bytes of complete objects in memory.")?,
            objects: IntGauge::new("mcsp_cache_objects", "Complete objects in memory.")?,
            fill_bytes: IntGauge::new(
                "mcsp_cache_fill_bytes",
                "Bytes reserved by fills in flight.",
            )?,
            fills_in_flight: IntGauge::new("mcsp_cache_fills_in_flight", "Fills in flight.")?,
        };
        registry.register(Box::new(metrics.lookups.clone()))?;
        registry.register(Box::new(metrics.fills.clone()))?;
        registry.register(Box::new(metrics.purges.clone()))?;
        registry.register(Box::new(metrics.purged_objects.clone()))?;
        registry.register(Box::new(metrics.evictions.clone()))?;
        registry.register(Box::new(metrics.bytes.clone()))?;
        registry.register(Box::new(metrics.objects.clone()))?;
        registry.register(Box::new(metrics.fill_bytes.clone()))?;
        registry.register(Box::new(metrics.fills_in_flight.clone()))?;
        Ok(metrics)
    }
}
