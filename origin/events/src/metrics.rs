//! What operators see of the log's users.

use std::sync::LazyLock;

use mcsp_telemetry::registry;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

static CONSUMED: LazyLock<Option<IntCounterVec>> = LazyLock::new(|| {
    counter(
        "mcsp_events_consumed_total",
        "Records that consumers dealt with: done, retried, waited, dead.",
        &["group", "topic", "outcome"],
    )
});

static OUTBOX_PENDING: LazyLock<Option<IntGaugeVec>> = LazyLock::new(|| {
    let opts = Opts::new(
        "mcsp_outbox_pending",
        "Events that were written down and are not in the log yet.",
    );
    let gauge = IntGaugeVec::new(opts, &["service"]).ok()?;
    registry().register(Box::new(gauge.clone())).ok()?;
    Some(gauge)
});

static RELAYED: LazyLock<Option<IntCounterVec>> = LazyLock::new(|| {
    counter(
        "mcsp_outbox_relayed_total",
        "Events that went from the outbox to the log (relayed), or that the log refused for ever (refused).",
        &["service", "outcome"],
    )
});

/// `None` only when another part of the process took the name, which its own tests would show.
fn counter(name: &str, help: &str, labels: &[&str]) -> Option<IntCounterVec> {
    let counter = IntCounterVec::new(Opts::new(name, help), labels).ok()?;
    registry().register(Box::new(counter.clone())).ok()?;
    Some(counter)
}

/// Counts what became of a record. `outcome`: `done`, `retried`, `waited`, `dead`.
pub(crate) fn consumed(group: &str, topic: &str, outcome: &str) {
    if let Some(counter) = CONSUMED.as_ref() {
        counter.with_label_values(&[group, topic, outcome]).inc();
    }
}

/// Tells how many events a service's outbox holds.
pub(crate) fn outbox_pending(service: &str, rows: i64) {
    if let Some(gauge) = OUTBOX_PENDING.as_ref() {
        gauge.with_label_values(&[service]).set(rows);
    }
}

/// Counts what left the outbox. `outcome`: `relayed`, `refused`.
pub(crate) fn relayed(service: &str, outcome: &str, rows: u64) {
    if let Some(counter) = RELAYED.as_ref() {
        counter.with_label_values(&[service, outcome]).inc_by(rows);
    }
}
