//! What connections show of themselves.

use prometheus::{IntCounterVec, Opts, Registry};

use crate::connection::Closed;
use crate::request::Refusal;

/// Counters of the HTTP/2 side.
#[derive(Debug, Clone)]
pub struct H2Metrics {
    refused: IntCounterVec,
    closed: IntCounterVec,
}

impl H2Metrics {
    /// Registers `mcsp_edge_h2_refused_total{reason}` and `mcsp_edge_h2_closed_total{reason}`.
    ///
    /// # Errors
    /// The names are taken.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), &["reason"])?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let refused = counters(
            "mcsp_edge_h2_refused_total",
            "HTTP/2 requests refused before a handler saw them.",
        )?;
        let closed = counters(
            "mcsp_edge_h2_closed_total",
            "HTTP/2 connections that ended.",
        )?;
        for refusal in Refusal::ALL {
            refused.with_label_values(&[refusal.label()]);
        }
        Ok(Self { refused, closed })
    }

    /// Counts a refusal.
    pub fn refused(&self, refusal: Refusal) {
        self.refused.with_label_values(&[refusal.label()]).inc();
    }

    /// Counts an end.
    pub fn closed(&self, closed: &Closed) {
        self.closed
            .with_label_values(&[closed.reason.label()])
            .inc();
    }
}
