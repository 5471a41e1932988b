//! What is known of a request while it is answered, and what is written when it has ended.

use std::sync::Arc;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, StatusCode};
use mcsp_runtime::hex_lower;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{Outcome, ROUTE_UNMATCHED, RedMetrics, TraceContext};

const GRPC_STATUS: &str = "grpc-status";
const GRPC_UNKNOWN: u32 = 2;
const GRPC_UNIMPLEMENTED: u32 = 12;

/// Who answers a request.
#[derive(Debug)]
pub(crate) struct Labels {
    pub(crate) service: String,
    /// A pattern, or a gRPC method's path.
    pub(crate) route: Option<String>,
}

impl Labels {
    pub(crate) fn new(service: &str) -> Self {
        Self {
            service: service.to_owned(),
            route: None,
        }
    }
}

/// Writes the log line and counts the request exactly once: when the answer has ended, failed, or was dropped.
#[derive(Debug)]
pub(crate) struct Recorder {
    labels: Arc<Mutex<Labels>>,
    metrics: Option<RedMetrics>,
    quiet: bool,
    method: Method,
    path: String,
    trace: TraceContext,
    parent_span_id: Option<[u8; 8]>,
    began: Instant,
    answer: Option<Answer>,
    bytes_sent: u64,
    is_written: bool,
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    is_grpc: bool,
    grpc_status: Option<u32>,
    content_length: Option<u64>,
}

impl Recorder {
    pub(crate) fn new(
        labels: Arc<Mutex<Labels>>,
        metrics: Option<RedMetrics>,
        quiet: bool,
        method: Method,
        path: String,
        trace: TraceContext,
        parent_span_id: Option<[u8; 8]>,
    ) -> Self {
        Self {
            labels,
            metrics,
            quiet,
            method,
            path,
            trace,
            parent_span_id,
            began: Instant::now(),
            answer: None,
            bytes_sent: 0,
            is_written: false,
        }
    }

    /// The answer's head is known.
    pub(crate) fn head(&mut self, status: StatusCode, headers: &HeaderMap, is_grpc: bool) {
        self.answer = Some(Answer {
            status,
            is_grpc,
            grpc_status: grpc_status(headers),
            content_length: headers
                .get(CONTENT_LENGTH)
                .and_then(|value| value.to_str().ok()?.parse().ok()),
        });
    }

    /// So many bytes of the body went out. Servers drop a body that has reached its announced length unasked.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.bytes_sent += bytes as u64;
        let length = self
            .answer
            .as_ref()
            .and_then(|answer| answer.content_length);
        if length.is_some_and(|length| self.bytes_sent >= length) {
            self.finish();
        }
    }

    /// The body's trailers, which end it.
    pub(crate) fn trailers(&mut self, trailers: &HeaderMap) {
        if let Some(answer) = &mut self.answer {
            answer.grpc_status = answer.grpc_status.or_else(|| grpc_status(trailers));
        }
        self.finish();
    }

    /// The answer came to its end.
    pub(crate) fn finish(&mut self) {
        let outcome = match &self.answer {
            Some(answer) if answer.is_grpc && answer.status == StatusCode::OK => {
                // An answer without a status is an error (gRPC over HTTP/2, "Responses").
                Outcome::from_grpc_code(answer.grpc_status.unwrap_or(GRPC_UNKNOWN))
            }
            Some(answer) => Outcome::from_status(answer.status.as_u16()),
            None => Outcome::Aborted,
        };
        self.write(outcome);
    }

    /// The answer broke off.
    pub(crate) fn fail(&mut self) {
        self.write(Outcome::ServerError);
    }

    fn write(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.is_written, true) {
            return;
        }
        let seconds = self.began.elapsed().as_secs_f64();
        let grpc_status = self.answer.as_ref().and_then(|answer| answer.grpc_status);
        let labels = self.labels.lock();
        let route = match &labels.route {
            // Anyone may ask for methods that do not exist; they share one label.
            Some(route) if grpc_status != Some(GRPC_UNIMPLEMENTED) => route.as_str(),
            _ => ROUTE_UNMATCHED,
        };
        if let Some(metrics) = &self.metrics {
            metrics.observe(
                &labels.service,
                route,
                self.method.as_str(),
                outcome,
                seconds,
            );
        }
        let line = Line {
            service: &labels.service,
            route,
            outcome: outcome.as_str(),
            status: self.answer.as_ref().map(|answer| answer.status.as_u16()),
            grpc_status,
            duration_ms: (seconds * 1e6).round() / 1e3,
        };
        match outcome {
            Outcome::ServerError => self.log_error(&line),
            _ if self.quiet => self.log_debug(&line),
            _ => self.log_info(&line),
        }
    }
}

struct Line<'a> {
    service: &'a str,
    route: &'a str,
    outcome: &'static str,
    status: Option<u16>,
    grpc_status: Option<u32>,
    duration_ms: f64,
}

/// `tracing` wants the level as a constant, so one method each.
macro_rules! log_method {
    ($name:ident, $level:ident) => {
        fn $name(&self, line: &Line<'_>) {
            tracing::event!(
                target: "access",
                tracing::Level::$level,
                service = line.service,
                route = line.route,
                method = self.method.as_str(),
                path = self.path.as_str(),
                status = line.status,
                grpc_status = line.grpc_status,
                outcome = line.outcome,
                duration_ms = line.duration_ms,
                body_bytes = self.bytes_sent,
                trace_id = self.trace.trace_id_hex().as_str(),
                span_id = self.trace.span_id_hex().as_str(),
                parent_span_id = self.parent_span_id.map(|id| hex_lower(&id)),
                sampled = self.trace.sampled,
                "request"
            );
        }
    };
}

impl Recorder {
    log_method!(log_error, ERROR);
    log_method!(log_info, INFO);
    log_method!(log_debug, DEBUG);
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.write(Outcome::Aborted);
    }
}

fn grpc_status(headers: &HeaderMap) -> Option<u32> {
    headers.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}
