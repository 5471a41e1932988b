//! What the proxy counts beside rate, errors and duration.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

#[derive(Debug, Clone)]
pub(crate) struct ProxyMetrics {
    pub(crate) answers: IntCounterVec,
    pub(crate) kept_out: IntCounterVec,
    pub(crate) cache: IntCounterVec,
    pub(crate) upstream_failures: IntCounterVec,
    pub(crate) upstream_retries: IntCounter,
    pub(crate) stale: IntCounterVec,
    pub(crate) bytes_sent: IntCounterVec,
}

impl ProxyMetrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
        };
        let metrics = Self {
            answers: counters(
                "mcsp_edge_answers_total",
                "Requests that a stage answered itself, by stage and reason.",
                &["stage", "reason"],
            )?,
            kept_out: counters(
                "mcsp_edge_residency_kept_out_total",
                "Requests for NG bytes at a PoP outside Nigeria, by route.",
                &["route"],
            )?,
            cache: counters(
                "mcsp_edge_cache_total",
                "Cached routes by how the cache took part: hit, miss, stale, revalidated, collapsed, bypass.",
                &["route", "outcome"],
            )?,
            upstream_failures: counters(
                "mcsp_edge_upstream_failures_total",
                "Tries that an origin failed, by region.",
                &["region"],
            )?,
            upstream_retries: IntCounter::new(
                "mcsp_edge_upstream_retries_total",
                "Requests that were tried on another address.",
            )?,
            stale: counters(
                "mcsp_edge_stale_served_total",
                "Objects served past their life, by why: error (the origin failed), unverified (the feed was away too).",
                &["why"],
            )?,
            bytes_sent: counters(
                "mcsp_edge_bytes_sent_total",
                "Body bytes sent to clients, by route.",
                &["route"],
            )?,
        };
        for counter in [
            &metrics.answers,
            &metrics.kept_out,
            &metrics.cache,
            &metrics.upstream_failures,
            &metrics.stale,
            &metrics.bytes_sent,
        ] {
            registry.register(Box::new(counter.clone()))?;
        }
        registry.register(Box::new(metrics.upstream_retries.clone()))?;
        Ok(metrics)
    }
}
