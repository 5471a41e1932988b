//! What connections show of themselves.

use prometheus::{IntCounterVec, Opts, Registry};

use crate::closed::Closed;
use crate::refusal::Refusal;

/// Counters of the HTTP/1.1 side.
#[derive(Debug, Clone)]
pub struct H1Metrics {
    refused: IntCounterVec,
    closed: IntCounterVec,
}

impl H1Metrics {
    /// Registers `mcsp_edge_h1_refused_total{reason}` and `mcsp_edge_h1_closed_total{reason}`.
    ///
    /// # Errors
    /// The names are taken.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let refused = IntCounterVec::new(
            Opts::new(
                "mcsp_edge_h1_refused_total",
                "HTTP/1.1 requests refused before a handler saw them.",
            ),
            &["reason"],
        )?;
        let closed = IntCounterVec::new(
            Opts::new(
                "mcsp_edge_h1_closed_total",
                "HTTP/1.1 connections that ended.",
            ),
            &["reason"],
        )?;
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(closed.clone()))?;
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
