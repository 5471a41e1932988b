//! What the fetcher counts.

use mcsp_edge_traffic::Traffic;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

use crate::{FetchError, FetchErrorKind};

#[derive(Debug, Clone)]
pub(crate) struct FetchMetrics {
    connections: IntCounterVec,
    failures: IntCounterVec,
    faults: IntCounterVec,
    pub(crate) retries: IntCounter,
    pub(crate) bytes: IntCounter,
    pub(crate) head_seconds: Histogram,
    pub(crate) traffic: Traffic,
}

impl FetchMetrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, label: &str| {
            IntCounterVec::new(Opts::new(name, help), &[label])
        };
        let metrics = Self {
            connections: counters(
                "mcsp_edge_fetch_connections_total",
                "Connections to upstreams that requests were made on: new, reused.",
                "kind",
            )?,
            failures: counters(
                "mcsp_edge_fetch_failures_total",
                "Tries at an address that failed, by kind; bodies that were cut short among them.",
                "kind",
            )?,
            faults: counters(
                "mcsp_edge_fetch_faults_total",
                "Answers of upstreams that were refused because they break the protocol, by what was wrong.",
                "fault",
            )?,
            retries: IntCounter::new(
                "mcsp_edge_fetch_retries_total",
                "Requests that were made again, elsewhere or on a new connection.",
            )?,
            bytes: IntCounter::new(
                "mcsp_edge_fetch_bytes_total",
                "Bytes of bodies taken from upstreams.",
            )?,
            head_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "mcsp_edge_fetch_head_seconds",
                    "From a request to the head of its answer.",
                )
                .buckets(vec![
                    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
                    30.0,
                ]),
            )?,
            traffic: Traffic::register(registry, "upstreams")?,
        };
        for counter in [&metrics.connections, &metrics.failures, &metrics.faults] {
            registry.register(Box::new(counter.clone()))?;
        }
        for counter in [&metrics.retries, &metrics.bytes] {
            registry.register(Box::new(counter.clone()))?;
        }
        registry.register(Box::new(metrics.head_seconds.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn connected(&self, is_reused: bool) {
        let kind = if is_reused { "reused" } else { "new" };
        self.connections.with_label_values(&[kind]).inc();
    }

    pub(crate) fn failed(&self, error: &FetchError) {
        self.failures.with_label_values(&[error.kind.label()]).inc();
        if let FetchErrorKind::Protocol(fault) = error.kind {
            self.faults.with_label_values(&[fault.label()]).inc();
        }
    }
}
