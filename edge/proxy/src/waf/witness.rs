//! What the firewall counts, and alerts that fire at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mcsp_edge_waf::{
    BreakerState, FailedOpen, FailureKind, Loaded, MonotonicTicks, SiteError, Ticks as _,
    TurnedAway, Unfinished, Witness,
};
use mcsp_telemetry::redact_text;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

use super::beside::INSPECTED;

/// How often one kind of failure is logged at most; between, it is counted, and the next line says how many there were.
const ALERT_EVERY_US: u64 = 1_000_000;

/// What is counted.
#[derive(Debug, Clone)]
pub(super) struct WafMetrics {
    pub(super) requests: IntCounterVec,
    /// The most frequent of them.
    pub(super) cleared: IntCounter,
    /// What waits for threads beside the workers or is under way on them.
    pub(super) beside_now: IntGauge,
    beside: IntCounterVec,
    failed_open: IntCounterVec,
    bypassed: IntCounter,
    unfinished: IntCounter,
    is_open: IntGauge,
    rules: IntGauge,
    loads: IntCounterVec,
}

impl WafMetrics {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let failed_open = counters(
            "mcsp_edge_waf_failed_open_total",
            "Requests let through since inspection failed: panic, overrun, unloaded, overload, lost (with its thread).",
            &["kind"],
        )?;
        // All are there from the start: an alert is on the change of one.
        for kind in FailureKind::ALL {
            failed_open.with_label_values(&[kind.name()]);
        }
        let beside = counters(
            "mcsp_edge_waf_beside_total",
            "Long requests and answers by what came of them beside the workers: inspected, share (its client had its share), full, late, left (the client went), lost (with its thread).",
            &["outcome"],
        )?;
        beside.with_label_values(&[INSPECTED]);
        for why in TurnedAway::ALL {
            beside.with_label_values(&[why.name()]);
        }
        let bypassed = IntCounter::new(
            "mcsp_edge_waf_bypassed_total",
            "Requests let through while inspection was given up.",
        )?;
        registry.register(Box::new(bypassed.clone()))?;
        let unfinished = IntCounter::new(
            "mcsp_edge_waf_pattern_limit_total",
            "Rules that gave up on a value of a request, which counts as not matching, since their pattern took all its steps.",
        )?;
        registry.register(Box::new(unfinished.clone()))?;
        let requests = counters(
            "mcsp_edge_waf_requests_total",
            "Requests by route and by what the firewall made of them: cleared (by the lane for media), passed, matched, blocked, turned-away (too much to do beside the workers), left (the client went meanwhile), let-through (without all their rules).",
            &["route", "outcome"],
        )?;
        Ok(Self {
            cleared: requests.with_label_values(&["media", "cleared"]),
            requests,
            beside_now: gauge(
                "mcsp_edge_waf_beside_places",
                "Long requests and answers that wait for threads beside the workers or are under way there.",
            )?,
            beside,
            failed_open,
            bypassed,
            unfinished,
            is_open: gauge(
                "mcsp_edge_waf_given_up",
                "1 while inspection is given up since it failed too often.",
            )?,
            rules: gauge("mcsp_edge_waf_rules", "Rules in force.")?,
            loads: counters(
                "mcsp_edge_waf_loads_total",
                "Rule sets that were read: loaded, refused.",
                &["outcome"],
            )?,
        })
    }
}

impl WafMetrics {
    /// What came of something long.
    pub(super) fn beside(&self, outcome: &str) -> IntCounter {
        self.beside.with_label_values(&[outcome])
    }

    /// What was let through.
    #[cfg(test)]
    pub(super) fn failed_open(&self, kind: &str) -> IntCounter {
        self.failed_open.with_label_values(&[kind])
    }
}

/// What may come often, and is logged once in a while.
#[derive(Debug, Default)]
struct Often {
    /// When it was logged last, microseconds and one; 0 is never.
    told_us: AtomicU64,
    /// How many there had been by then.
    told: AtomicU64,
}

impl Often {
    /// Of so many in all: how many were not logged since the last, if this one is to be logged.
    fn untold(&self, now_us: u64, total: u64) -> Option<u64> {
        let last = self.told_us.load(Ordering::Relaxed);
        let is_due = last == 0 || now_us.saturating_sub(last - 1) >= ALERT_EVERY_US;
        let is_ours = is_due
            && self
                .told_us
                .compare_exchange(last, now_us + 1, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        is_ours.then(|| {
            let told = self.told.swap(total, Ordering::Relaxed);
            total.saturating_sub(told).saturating_sub(1)
        })
    }
}

/// Counts, and logs what somebody has to look at.
#[derive(Debug)]
pub(super) struct Telling {
    metrics: WafMetrics,
    ticks: Arc<MonotonicTicks>,
    failures: [Often; FailureKind::ALL.len()],
    bypasses: Often,
    limits: Often,
}

impl Telling {
    pub(super) fn new(metrics: WafMetrics, ticks: Arc<MonotonicTicks>) -> Self {
        Self {
            metrics,
            ticks,
            failures: Default::default(),
            bypasses: Often::default(),
            limits: Often::default(),
        }
    }

    /// Counts one, and says whether it is to be logged, see [`Often::untold`].
    fn count(&self, counter: &IntCounter, often: &Often) -> Option<u64> {
        counter.inc();
        often.untold(self.ticks.now_us(), counter.get())
    }
}

impl Witness for Telling {
    fn failed_open(&self, failure: &FailedOpen<'_>) {
        let kind = failure.kind.name();
        let counter = self.metrics.failed_open.with_label_values(&[kind]);
        let often = &self.failures[failure.kind as usize];
        if let Some(untold) = self.count(&counter, often) {
            tracing::error!(
                alert = "waf-fail-open",
                kind,
                route = failure.route,
                trace_id = failure.id,
                detail = redact_text(&failure.detail),
                untold,
                total = counter.get(),
                "a request was let through without inspection"
            );
        }
    }

    fn bypassed(&self, route: &str, id: &str) {
        let counter = &self.metrics.bypassed;
        if let Some(untold) = self.count(counter, &self.bypasses) {
            tracing::error!(
                alert = "waf-fail-open",
                kind = "bypassed",
                route,
                trace_id = id,
                untold,
                total = counter.get(),
                "a request was let through without inspection, which is given up for a while"
            );
        }
    }

    fn unfinished(&self, unfinished: &Unfinished<'_>) {
        let counter = &self.metrics.unfinished;
        if let Some(untold) = self.count(counter, &self.limits) {
            tracing::warn!(
                alert = "waf-pattern-limit",
                rule = unfinished.rule,
                route = unfinished.route,
                trace_id = unfinished.id,
                untold,
                total = counter.get(),
                "a firewall rule gave up on a value, to which its pattern took all its steps"
            );
        }
    }

    fn breaker(&self, state: BreakerState) {
        let is_open = state == BreakerState::Open;
        self.metrics.is_open.set(i64::from(is_open));
        if is_open {
            tracing::error!(
                alert = "waf-given-up",
                "inspection failed too often and is given up for a while"
            );
        } else {
            let total = self.metrics.bypassed.get();
            tracing::warn!(
                total,
                "inspection works again; so many were let through without it in all"
            );
        }
    }

    fn loaded(&self, outcome: Result<&Loaded, &SiteError>) {
        match outcome {
            Ok(loaded) => {
                self.metrics.loads.with_label_values(&["loaded"]).inc();
                self.metrics
                    .rules
                    .set(i64::try_from(loaded.rules).unwrap_or(i64::MAX));
                for notice in &loaded.notices {
                    tracing::warn!(
                        place = %notice.location,
                        rule = notice.rule,
                        "part of a firewall rule does nothing: {}", notice.kind
                    );
                }
                tracing::info!(
                    rules = loaded.rules,
                    routes = loaded.routes,
                    media_rules = loaded.media_rules,
                    took_ms = u64::try_from(loaded.took.as_millis()).unwrap_or(u64::MAX),
                    "firewall rules are in force"
                );
            }
            Err(error) => {
                self.metrics.loads.with_label_values(&["refused"]).inc();
                tracing::error!(
                    alert = "waf-rules-refused",
                    %error,
                    "firewall rules are not used; those before, if there were any, stay in force"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_logged_is_counted_in_the_next_line() {
        let often = Often::default();
        assert_eq!(often.untold(0, 1), Some(0));
        assert_eq!(often.untold(1, 2), None);
        assert_eq!(often.untold(ALERT_EVERY_US - 1, 9), None);
        assert_eq!(often.untold(ALERT_EVERY_US, 10), Some(8));
        assert_eq!(often.untold(3 * ALERT_EVERY_US, 11), Some(0));
    }
}
