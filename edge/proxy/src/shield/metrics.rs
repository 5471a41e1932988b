//! What the shield tier counts.

use mcsp_edge_fetch::{ParentTry, ParentWord};
use prometheus::{IntCounterVec, Opts, Registry};

#[derive(Debug, Clone)]
pub(crate) struct ShieldMetrics {
    tries: IntCounterVec,
    fallbacks: IntCounterVec,
    answers: IntCounterVec,
}

impl ShieldMetrics {
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        Ok(Self {
            tries: counters(
                "mcsp_edge_shield_tries_total",
                "Parents that were asked, by region and what each did: hit, miss, stale, behind, busy, later, refused, failed \
                 (it said so), unreachable, slow, full (as many requests from here as may be), foreign (it is no parent).",
                &["region", "outcome"],
            )?,
            fallbacks: counters(
                "mcsp_edge_shield_fallbacks_total",
                "Requests that went past parents to an origin, by region and why: what the last parent did; none (no parent \
                 was healthy, or may carry it), unknown (this node does not know its feed).",
                &["region", "why"],
            )?,
            answers: counters(
                "mcsp_edge_shield_answers_total",
                "Answers to children, by what they were: hit, miss, stale, behind, busy, later, refused, failed.",
                &["outcome"],
            )?,
        })
    }

    pub(super) fn tried(&self, region: &str, tries: &[ParentTry]) {
        for one in tries {
            self.tries.with_label_values(&[region, one.label()]).inc();
        }
    }

    pub(super) fn fell_back(&self, region: &str, why: &str) {
        self.fallbacks.with_label_values(&[region, why]).inc();
    }

    pub(super) fn answered(&self, word: ParentWord) {
        self.answers.with_label_values(&[word.as_str()]).inc();
    }
}
