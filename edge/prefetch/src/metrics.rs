//! What the prefetcher counts.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

#[derive(Debug, Clone)]
pub(crate) struct PrefetchMetrics {
    offered: IntCounterVec,
    pub(crate) unwanted: IntCounter,
    done: IntCounterVec,
    pub(crate) bytes: IntCounter,
    pub(crate) used: IntCounter,
    pub(crate) waiting: IntGauge,
    pub(crate) running: IntGauge,
}

impl PrefetchMetrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters =
            |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), &["outcome"]);
        let offered = counters(
            "mcsp_edge_prefetch_offered_total",
            "Objects that are likely to be asked for next: queued, known (queued or running already), unwanted (held, being filled or purged), disabled.",
        )?;
        let metrics = Self {
            unwanted: offered.with_label_values(&["unwanted"]),
            offered,
            done: counters(
                "mcsp_edge_prefetch_done_total",
                "Objects that were queued, by what became of them: stored, not_stored, failed, timeout, unwanted, late, displaced, forgotten.",
            )?,
            bytes: IntCounter::new(
                "mcsp_edge_prefetch_bytes_total",
                "Bytes of objects that were fetched ahead and stored.",
            )?,
            used: IntCounter::new(
                "mcsp_edge_prefetch_used_total",
                "Objects fetched ahead that a viewer asked for.",
            )?,
            waiting: IntGauge::new(
                "mcsp_edge_prefetch_waiting",
                "Objects that wait to be fetched ahead.",
            )?,
            running: IntGauge::new(
                "mcsp_edge_prefetch_running",
                "Objects that are being fetched ahead.",
            )?,
        };
        for counter in [&metrics.offered, &metrics.done] {
            registry.register(Box::new(counter.clone()))?;
        }
        for counter in [&metrics.bytes, &metrics.used] {
            registry.register(Box::new(counter.clone()))?;
        }
        for gauge in [&metrics.waiting, &metrics.running] {
            registry.register(Box::new(gauge.clone()))?;
        }
        Ok(metrics)
    }

    pub(crate) fn offered(&self, outcome: &str) {
        self.offered.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn done(&self, outcome: &str) {
        self.done.with_label_values(&[outcome]).inc();
    }

    #[cfg(test)]
    pub(crate) fn done_so_far(&self, outcome: &str) -> u64 {
        self.done.with_label_values(&[outcome]).get()
    }
}
