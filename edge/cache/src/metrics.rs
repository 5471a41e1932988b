//! What the cache counts.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

#[derive(Debug, Clone)]
pub(crate) struct CacheMetrics {
    pub(crate) hits: IntCounter,
    pub(crate) on_disk: IntCounter,
    pub(crate) restored: IntCounter,
    lookups: IntCounterVec,
    joins: IntCounterVec,
    fills: IntCounterVec,
    pub(crate) purges: IntCounterVec,
    pub(crate) purged: IntCounter,
    pub(crate) evictions: IntCounter,
    disk: IntCounterVec,
    pub(crate) bytes: IntGauge,
    pub(crate) used_bytes: IntGauge,
    pub(crate) objects: IntGauge,
    pub(crate) fill_bytes: IntGauge,
    pub(crate) purge_bytes: IntGauge,
    pub(crate) fills_in_flight: IntGauge,
}

impl CacheMetrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let lookups = IntCounterVec::new(
            Opts::new(
                "mcsp_cache_lookups_total",
                "Lookups by what they found: stored, fill, disk, or why there was nothing.",
            ),
            &["found"],
        )?;
        let disk = IntCounterVec::new(
            Opts::new(
                "mcsp_cache_disk_total",
                "What was given to and asked of the disk tier: queued, dropped, restored, absent, purged, failed.",
            ),
            &["what"],
        )?;
        let metrics = Self {
            hits: lookups.with_label_values(&["stored"]),
            on_disk: lookups.with_label_values(&["disk"]),
            restored: disk.with_label_values(&["restored"]),
            lookups,
            joins: IntCounterVec::new(
                Opts::new(
                    "mcsp_cache_joins_total",
                    "Requests for what is not there, by their part in the fetch: lead, lead_alone, follow, refused, none (it had failed for \
                     all who waited).",
                ),
                &["part"],
            )?,
            fills: IntCounterVec::new(
                Opts::new(
                    "mcsp_cache_fills_total",
                    "Fills by how they went: complete, part, superseded, streamed, lent, or the reason of their failure.",
                ),
                &["outcome"],
            )?,
            purges: IntCounterVec::new(
                Opts::new(
                    "mcsp_cache_purges_total",
                    "Purges by selector and mode (hard, soft), and what clients' requests took from newcomers (unlist).",
                ),
                &["selector", "mode"],
            )?,
            purged: IntCounter::new(
                "mcsp_cache_purged_objects_total",
                "Responses removed from memory or made stale by purges.",
            )?,
            evictions: IntCounter::new(
                "mcsp_cache_evictions_total",
                "Responses that left memory to make room.",
            )?,
            disk,
            bytes: IntGauge::new("mcsp_cache_bytes", "Bytes of responses stored in memory.")?,
            used_bytes: IntGauge::new(
                "mcsp_cache_used_bytes",
                "Bytes of memory that stored responses, fills and slow readers take together.",
            )?,
            objects: IntGauge::new("mcsp_cache_objects", "Responses stored in memory.")?,
            fill_bytes: IntGauge::new(
                "mcsp_cache_fill_bytes",
                "Bytes reserved by fills in flight.",
            )?,
            purge_bytes: IntGauge::new(
                "mcsp_cache_purge_bytes",
                "Bytes that the memory of purges and of clients' invalidations takes.",
            )?,
            fills_in_flight: IntGauge::new("mcsp_cache_fills_in_flight", "Fills in flight.")?,
        };
        registry.register(Box::new(metrics.lookups.clone()))?;
        registry.register(Box::new(metrics.joins.clone()))?;
        registry.register(Box::new(metrics.fills.clone()))?;
        registry.register(Box::new(metrics.purges.clone()))?;
        registry.register(Box::new(metrics.purged.clone()))?;
        registry.register(Box::new(metrics.evictions.clone()))?;
        registry.register(Box::new(metrics.disk.clone()))?;
        registry.register(Box::new(metrics.bytes.clone()))?;
        registry.register(Box::new(metrics.used_bytes.clone()))?;
        registry.register(Box::new(metrics.objects.clone()))?;
        registry.register(Box::new(metrics.fill_bytes.clone()))?;
        registry.register(Box::new(metrics.purge_bytes.clone()))?;
        registry.register(Box::new(metrics.fills_in_flight.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn lookup(&self, found: &str) {
        self.lookups.with_label_values(&[found]).inc();
    }

    pub(crate) fn join(&self, part: &str) {
        self.joins.with_label_values(&[part]).inc();
    }

    pub(crate) fn fill(&self, outcome: &str) {
        self.fills.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn disk(&self, what: &str) {
        self.disk.with_label_values(&[what]).inc();
    }
}
