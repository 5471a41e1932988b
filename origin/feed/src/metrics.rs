//! What operators see of the feed.

use std::sync::LazyLock;

use mcsp_telemetry::registry;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts};

static LAST: LazyLock<Option<IntGaugeVec>> = LazyLock::new(|| {
    gauges(
        "mcsp_feed_last_sequence",
        "The last entry of the edge feed.",
        "region",
    )
});
static ACKNOWLEDGED: LazyLock<Option<IntGaugeVec>> = LazyLock::new(|| {
    gauges(
        "mcsp_feed_acknowledged_sequence",
        "The last entry that a subscriber has applied.",
        "subscriber",
    )
});
static STREAMS: LazyLock<Option<IntGauge>> = LazyLock::new(|| {
    let gauge = IntGauge::new("mcsp_feed_streams", "Subscriptions that are open.").ok()?;
    registry().register(Box::new(gauge.clone())).ok()?;
    Some(gauge)
});
static MIRRORED: LazyLock<Option<IntGaugeVec>> = LazyLock::new(|| {
    gauges(
        "mcsp_feed_mirrored_sequence",
        "The last entry of a peer region's feed that was taken over.",
        "region",
    )
});

static PURGES: LazyLock<Option<IntCounterVec>> = LazyLock::new(|| {
    let opts = Opts::new("mcsp_feed_operator_purges_total", "Purges by operators.");
    let counter = IntCounterVec::new(opts, &["kind", "mode"]).ok()?;
    registry().register(Box::new(counter.clone())).ok()?;
    Some(counter)
});

/// `None` only when another part of the process took the name, which its own tests would show.
fn gauges(name: &str, help: &str, label: &str) -> Option<IntGaugeVec> {
    let gauges = IntGaugeVec::new(Opts::new(name, help), &[label]).ok()?;
    registry().register(Box::new(gauges.clone())).ok()?;
    Some(gauges)
}

fn set(gauges: &LazyLock<Option<IntGaugeVec>>, label: &str, sequence: u64) {
    if let Some(gauges) = gauges.as_ref() {
        gauges
            .with_label_values(&[label])
            .set(i64::try_from(sequence).unwrap_or(i64::MAX));
    }
}

pub(crate) fn published(region: &str, sequence: u64) {
    set(&LAST, region, sequence);
}

pub(crate) fn acknowledged(subscriber: &str, sequence: u64) {
    set(&ACKNOWLEDGED, subscriber, sequence);
}

pub(crate) fn forget_subscriber(subscriber: &str) {
    if let Some(gauges) = ACKNOWLEDGED.as_ref() {
        // It is an error only when it was never set.
        let _ = gauges.remove_label_values(&[subscriber]);
    }
}

pub(crate) fn mirrored(region: &str, sequence: u64) {
    set(&MIRRORED, region, sequence);
}

pub(crate) fn purged(kind: &str, soft: bool) {
    if let Some(purges) = PURGES.as_ref() {
        let mode = if soft { "soft" } else { "hard" };
        purges.with_label_values(&[kind, mode]).inc();
    }
}

/// Counts an open subscription for as long as it lives.
#[derive(Debug)]
pub(crate) struct StreamCount;

impl StreamCount {
    pub(crate) fn begin() -> Self {
        if let Some(gauge) = STREAMS.as_ref() {
            gauge.inc();
        }
        Self
    }
}

impl Drop for StreamCount {
    fn drop(&mut self) {
        if let Some(gauge) = STREAMS.as_ref() {
            gauge.dec();
        }
    }
}
