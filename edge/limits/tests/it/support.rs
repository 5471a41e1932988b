//! A limiter with a clock that stands still.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mcsp_edge_limits::{
    Class, Holder, Limiter, LimitsConfig, Rate, Refusal, Scope, Standing, Verdict,
};
use mcsp_runtime::{ManualClock, SeededEntropy};
use prometheus::Registry;

/// All rates off but those that a test sets.
pub(crate) fn config(rates: &[(Class, Scope, &str)]) -> LimitsConfig {
    let mut config = LimitsConfig::default();
    for class in Class::ALL {
        for scope in Scope::ALL {
            if !config.rate.of(class, scope).is_off() {
                config.rate.set(class, scope, Rate::OFF);
            }
        }
    }
    for (class, scope, rate) in rates {
        config.rate.set(*class, *scope, rate.parse().unwrap());
    }
    config.address_keys_max = 1_024;
    config.holder_keys_max = 1_024;
    config.account_keys_max = 1_024;
    config
}

pub(crate) struct Node {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) registry: Registry,
    pub(crate) limiter: Arc<Limiter>,
}

pub(crate) fn node(config: &LimitsConfig) -> Node {
    let clock = ManualClock::new(1_800_000_000_000);
    node_with(config, clock)
}

pub(crate) fn node_with(config: &LimitsConfig, clock: Arc<ManualClock>) -> Node {
    let registry = Registry::new();
    let entropy = SeededEntropy::new(11);
    let limiter = Limiter::new(config, clock.clone(), &*entropy, &registry).unwrap();
    Node {
        clock,
        registry,
        limiter: Arc::new(limiter),
    }
}

pub(crate) fn address(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

impl Node {
    pub(crate) fn client(&self, class: Class, from: &str) -> Result<Option<Standing>, Refusal> {
        outcome(self.limiter.check_client(class, address(from)))
    }

    pub(crate) fn holder(
        &self,
        class: Class,
        holder: &Holder,
    ) -> Result<Option<Standing>, Refusal> {
        outcome(self.limiter.check_holder(class, holder))
    }

    /// How many requests of an address are let through at once.
    pub(crate) fn burst(&self, class: Class, from: &str) -> usize {
        (0..100_000)
            .take_while(|_| self.client(class, from).is_ok())
            .count()
    }

    pub(crate) fn after(&self, ms: u64) -> &Self {
        self.clock.advance(Duration::from_millis(ms));
        self
    }

    /// The sum of a metric's values.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
        let value = |metric: &prometheus::proto::Metric| {
            metric.get_counter().get_value() + metric.get_gauge().get_value()
        };
        metrics.iter().map(value).sum()
    }
}

pub(crate) fn outcome(verdict: Verdict) -> Result<Option<Standing>, Refusal> {
    match verdict {
        Verdict::Admitted(standing) => Ok(standing),
        Verdict::Refused(refusal) => Err(refusal),
    }
}
