//! What the firewall counts, and alerts that fire at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mcsp_edge_waf::{
    BreakerState, FailedOpen, FailureKind, Loaded, MonotonicTicks, SiteError, Ticks as _,
    TurnedAway, Witness,
};
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// How often one kind of failure is logged at most; between, it is counted.
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
            "Requests let through since inspection failed: panic, overrun, unloaded, overload.",
            &["kind"],
        )?;
        // All are there from the start: an alert is on the change of one.
        for kind in FailureKind::ALL {
            failed_open.with_label_values(&[kind.name()]);
        }
        let beside = counters(
            "mcsp_edge_waf_beside_total",
            "Long requests and answers by what came of them beside the workers: inspected, share (its client had its share), full, late, left (the client went), lost.",
            &["outcome"],
        )?;
        for why in TurnedAway::ALL {
            beside.with_label_values(&[why.name()]);
        }
        let bypassed = IntCounter::new(
            "mcsp_edge_waf_bypassed_total",
            "Requests let through while inspection was given up.",
        )?;
        registry.register(Box::new(bypassed.clone()))?;
        let requests = counters(
            "mcsp_edge_waf_requests_total",
            "Requests by route and by what the firewall made of them: cleared (by the lane for media), passed, matched, blocked, turned-away (too much to do beside the workers), left (the client went meanwhile).",
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
}

/// Counts, and logs what somebody has to look at.
#[derive(Debug)]
pub(super) struct Telling {
    metrics: WafMetrics,
    ticks: Arc<MonotonicTicks>,
    /// By kind: when it was logged last, microseconds and one; 0 is never.
    told_us: [AtomicU64; FailureKind::ALL.len()],
}

impl Telling {
    pub(super) fn new(metrics: WafMetrics, ticks: Arc<MonotonicTicks>) -> Self {
        Self {
            metrics,
            ticks,
            told_us: Default::default(),
        }
    }

    /// The first of a while may be logged.
    fn is_due(&self, kind: FailureKind) -> bool {
        let now_us = self.ticks.now_us();
        let told_us = &self.told_us[kind as usize];
        let last = told_us.load(Ordering::Relaxed);
        let is_due = last == 0 || now_us.saturating_sub(last - 1) >= ALERT_EVERY_US;
        is_due
            && told_us
                .compare_exchange(last, now_us + 1, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

impl Witness for Telling {
    fn failed_open(&self, failure: &FailedOpen<'_>) {
        let kind = failure.kind.name();
        let counter = self.metrics.failed_open.with_label_values(&[kind]);
        counter.inc();
        if self.is_due(failure.kind) {
            tracing::error!(
                alert = "waf-fail-open",
                kind,
                route = failure.route,
                trace_id = failure.id,
                detail = failure.detail,
                total = counter.get(),
                "a request was let through without inspection"
            );
        }
    }

    fn bypassed(&self) {
        self.metrics.bypassed.inc();
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
            tracing::warn!("inspection works again");
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
