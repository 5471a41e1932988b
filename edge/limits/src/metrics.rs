//! What the limits count.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

#[derive(Debug, Clone)]
pub(crate) struct LimitsMetrics {
    pub(crate) refused: IntCounterVec,
    pub(crate) failed_open: IntCounter,
    pub(crate) no_address: IntCounter,
    pub(crate) keys: IntGaugeVec,
    pub(crate) forgotten: IntCounterVec,
}

impl LimitsMetrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let keys = IntGaugeVec::new(
            Opts::new(
                "mcsp_edge_limits_keys",
                "Keys that owe something, as counted within the last eight seconds, by table: address, holder, account.",
            ),
            &["table"],
        )?;
        registry.register(Box::new(keys.clone()))?;
        Ok(Self {
            refused: counters(
                "mcsp_edge_limits_refused_total",
                "Requests over their rate, by class and by what they were counted.",
                &["class", "scope"],
            )?,
            failed_open: counter(
                "mcsp_edge_limits_failed_open_total",
                "Requests that were let through because the limiter itself failed.",
            )?,
            no_address: counter(
                "mcsp_edge_limits_no_address_total",
                "Requests that were not counted by address because theirs is not known.",
            )?,
            keys,
            forgotten: counters(
                "mcsp_edge_limits_forgotten_total",
                "Keys that owed something and had to make room for others, by table.",
                &["table"],
            )?,
        })
    }
}
