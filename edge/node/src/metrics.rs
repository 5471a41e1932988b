//! What the node counts beside its proxy and cache.

use mcsp_edge_traffic::Traffic;
use prometheus::{Gauge, IntCounterVec, IntGauge, Opts, Registry};

#[derive(Debug, Clone)]
pub(crate) struct NodeMetrics {
    pub(crate) connections: IntCounterVec,
    pub(crate) shield_connections: IntCounterVec,
    pub(crate) feed_connects: IntCounterVec,
    pub(crate) feed_entries: IntCounterVec,
    pub(crate) feed_age_s: Gauge,
    pub(crate) feed_sequence: IntGauge,
    pub(crate) media_keys: IntGauge,
    pub(crate) revocations: IntGauge,
    /// With viewers.
    pub(crate) clients: Traffic,
    /// With nodes that ask this one.
    pub(crate) children: Traffic,
}

impl NodeMetrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels)
        };
        let metrics = Self {
            connections: counters(
                "mcsp_edge_connections_total",
                "Connections from viewers, by what became of them at the door.",
                &["outcome"],
            )?,
            shield_connections: counters(
                "mcsp_edge_shield_connections_total",
                "Connections from children, by what became of them at the door.",
                &["outcome"],
            )?,
            feed_connects: counters(
                "mcsp_edge_feed_connects_total",
                "Connections to the edge feed, by outcome: opened, failed, cut.",
                &["outcome"],
            )?,
            feed_entries: counters(
                "mcsp_edge_feed_entries_total",
                "Entries of the edge feed, by change and outcome: applied, refused.",
                &["change", "outcome"],
            )?,
            feed_age_s: Gauge::new(
                "mcsp_edge_feed_age_seconds",
                "Since the feed was last heard of; -1 until the first whole snapshot.",
            )?,
            feed_sequence: IntGauge::new(
                "mcsp_edge_feed_applied_sequence",
                "The last entry that was applied.",
            )?,
            media_keys: IntGauge::new("mcsp_edge_media_keys", "Keys of media URLs that are held.")?,
            revocations: IntGauge::new("mcsp_edge_revocations", "Ended sessions that are held.")?,
            clients: Traffic::register(registry, "clients")?,
            children: Traffic::register(registry, "children")?,
        };
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.shield_connections.clone()))?;
        registry.register(Box::new(metrics.feed_connects.clone()))?;
        registry.register(Box::new(metrics.feed_entries.clone()))?;
        registry.register(Box::new(metrics.feed_age_s.clone()))?;
        registry.register(Box::new(metrics.feed_sequence.clone()))?;
        registry.register(Box::new(metrics.media_keys.clone()))?;
        registry.register(Box::new(metrics.revocations.clone()))?;
        Ok(metrics)
    }
}
