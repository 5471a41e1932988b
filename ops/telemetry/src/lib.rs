//! JSON logs, RED metrics, W3C trace context.
//!
//! One [`TelemetryLayer`] around a server gives every request all three: a trace context taken from the caller or
//! begun here, one access log line, and rate, errors and duration by route. Nothing secret is logged: paths lose
//! their query, media paths their token, and fields that are named like secrets their value.

mod admin;
mod layer;
#[cfg(test)]
mod layer_tests;
mod logging;
mod record;
mod red;
mod redact;
mod trace;

pub use admin::{Readiness, admin_router};
pub use layer::{TelemetryBody, TelemetryLayer, TelemetryService};
pub use logging::{JsonLogs, LoggingError, init_logging};
pub use red::{
    Outcome, ROUTE_UNMATCHED, RedHandle, RedMetrics, encode_metrics, red_metrics, registry,
};
pub use redact::{redact_path, redact_text};
pub use trace::{TraceContext, current_trace, trace_from_headers, with_trace};
