//! Rate, errors, duration: by service, route and method.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
};

/// The route label of what no route matched.
pub const ROUTE_UNMATCHED: &str = "unmatched";
/// The service and route labels of what came after [`ROUTES_MAX`] others.
const ROUTE_OVERFLOW: &str = "overflow";
/// The most (service, route, method) triples one process counts apart.
const ROUTES_MAX: usize = 1024;
/// Upper bounds, seconds: from a memory hit to the longest wait anything here is allowed.
const DURATION_BUCKETS_S: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE",
];

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Answered as asked: 1xx to 3xx, gRPC `OK`.
    Ok,
    /// The caller's fault: 4xx, gRPC `INVALID_ARGUMENT`, `NOT_FOUND` and their like.
    ClientError,
    /// Ours: 5xx, gRPC `INTERNAL`, `UNAVAILABLE` and their like, or an answer that broke off.
    ServerError,
    /// The caller went away before the end.
    Aborted,
}

impl Outcome {
    const ALL: [Self; 4] = [
        Self::Ok,
        Self::ClientError,
        Self::ServerError,
        Self::Aborted,
    ];

    /// The outcome of an HTTP status (RFC 9110 section 15).
    #[must_use]
    pub fn from_status(status: u16) -> Self {
        match status {
            100..=399 => Self::Ok,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }

    /// The outcome of a gRPC status code.
    #[must_use]
    pub fn from_grpc_code(code: u32) -> Self {
        match code {
            0 => Self::Ok,
            // CANCELLED.
            1 => Self::Aborted,
            // INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, FAILED_PRECONDITION, ABORTED,
            // OUT_OF_RANGE, UNIMPLEMENTED, UNAUTHENTICATED.
            3 | 5 | 6 | 7 | 9 | 10 | 11 | 12 | 16 => Self::ClientError,
            _ => Self::ServerError,
        }
    }

    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
            Self::Aborted => "aborted",
        }
    }
}

/// The process's registry: what `/metrics` shows.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::new)
}

/// The process's RED metrics, in [`registry`].
///
/// # Errors
/// When something else in this process registered metrics of the same names.
pub fn red_metrics() -> Result<RedMetrics, prometheus::Error> {
    static METRICS: OnceLock<RedMetrics> = OnceLock::new();
    if let Some(metrics) = METRICS.get() {
        return Ok(metrics.clone());
    }
    // Two threads may get here at once; the registry lets one of them pass, the other finds what it made.
    match RedMetrics::register(registry()) {
        Ok(made) => Ok(METRICS.get_or_init(|| made).clone()),
        Err(error) => METRICS.get().cloned().ok_or(error),
    }
}

/// What a registry holds, in the Prometheus text format 0.0.4.
///
/// # Errors
/// When a metric is malformed.
pub fn encode_metrics(registry: &Registry) -> Result<String, prometheus::Error> {
    TextEncoder::new().encode_to_string(&registry.gather())
}

/// `mcsp_requests_total{service,route,method,outcome}` and
/// `mcsp_request_duration_seconds{service,route,method}`. Cloning shares them.
#[derive(Clone)]
pub struct RedMetrics {
    requests: IntCounterVec,
    durations: HistogramVec,
    known: Arc<RwLock<HashSet<(String, String, String)>>>,
}

impl RedMetrics {
    /// Registers the two metrics.
    ///
    /// # Errors
    /// When the registry has metrics of these names.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new(
                "mcsp_requests_total",
                "Requests by service, route, method and outcome.",
            ),
            &["service", "route", "method", "outcome"],
        )?;
        let durations = HistogramVec::new(
            HistogramOpts::new(
                "mcsp_request_duration_seconds",
                "From a request's head to the end of its answer.",
            )
            .buckets(DURATION_BUCKETS_S.to_vec()),
            &["service", "route", "method"],
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(durations.clone()))?;
        Ok(Self {
            requests,
            durations,
            known: Arc::default(),
        })
    }

    /// Counts a request. `route` is a pattern, never a path; after 1 024 triples of service, route and method,
    /// further ones are counted as `overflow`, and methods that RFC 9110 does not know as `other`.
    pub fn observe(
        &self,
        service: &str,
        route: &str,
        method: &str,
        outcome: Outcome,
        seconds: f64,
    ) {
        let method = if METHODS.contains(&method) {
            method
        } else {
            "other"
        };
        // The service too: a caller chooses the name of the gRPC service it asks for.
        let (service, route) = match self.is_known(service, route, method) {
            true => (service, route),
            false => (ROUTE_OVERFLOW, ROUTE_OVERFLOW),
        };
        self.requests
            .with_label_values(&[service, route, method, outcome.as_str()])
            .inc();
        self.durations
            .with_label_values(&[service, route, method])
            .observe(seconds);
    }

    /// The counters of one route and method, found once: for requests too many to look labels up at each. The route and
    /// method count among the triples that are counted apart.
    #[must_use]
    pub fn handle(&self, service: &str, route: &str, method: &str) -> RedHandle {
        let method = if METHODS.contains(&method) {
            method
        } else {
            "other"
        };
        let (service, route) = match self.is_known(service, route, method) {
            true => (service, route),
            false => (ROUTE_OVERFLOW, ROUTE_OVERFLOW),
        };
        let counter = |outcome: Outcome| {
            self.requests
                .with_label_values(&[service, route, method, outcome.as_str()])
        };
        RedHandle {
            requests: Outcome::ALL.map(counter),
            duration: self.durations.with_label_values(&[service, route, method]),
        }
    }

    /// Requests counted with these labels so far.
    #[must_use]
    pub fn count(&self, service: &str, route: &str, method: &str, outcome: Outcome) -> u64 {
        self.requests
            .with_label_values(&[service, route, method, outcome.as_str()])
            .get()
    }

    fn is_known(&self, service: &str, route: &str, method: &str) -> bool {
        let triple = (service.to_owned(), route.to_owned(), method.to_owned());
        if self.known.read().contains(&triple) {
            return true;
        }
        let mut known = self.known.write();
        known.contains(&triple) || (known.len() < ROUTES_MAX && known.insert(triple))
    }
}

/// The counters of one service, route and method; see [`RedMetrics::handle`].
#[derive(Debug, Clone)]
pub struct RedHandle {
    /// In the order of [`Outcome::ALL`].
    requests: [IntCounter; 4],
    duration: Histogram,
}

impl RedHandle {
    /// Counts a request.
    pub fn observe(&self, outcome: Outcome, seconds: f64) {
        let [ok, client_error, server_error, aborted] = &self.requests;
        let counter = match outcome {
            Outcome::Ok => ok,
            Outcome::ClientError => client_error,
            Outcome::ServerError => server_error,
            Outcome::Aborted => aborted,
        };
        counter.inc();
        self.duration.observe(seconds);
    }
}

impl fmt::Debug for RedMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedMetrics")
            .field("known", &self.known.read().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_and_timed() {
        let registry = Registry::new();
        let red = RedMetrics::register(&registry).expect("an empty registry");
        red.observe(
            "auth",
            "/api/v1/auth/login",
            "POST",
            Outcome::ClientError,
            0.2,
        );
        let text = encode_metrics(&registry).expect("metrics");
        assert!(text.contains(
            r#"mcsp_requests_total{method="POST",outcome="client_error",route="/api/v1/auth/login",service="auth"} 1"#
        ));
        assert!(text.contains(
            r#"mcsp_request_duration_seconds_count{method="POST",route="/api/v1/auth/login",service="auth"} 1"#
        ));
        assert!(RedMetrics::register(&registry).is_err());
    }

    #[test]
    fn a_handle_counts_the_same() {
        let red = RedMetrics::register(&Registry::new()).expect("an empty registry");
        let handle = red.handle("s", "/a", "GET");
        for outcome in Outcome::ALL {
            handle.observe(outcome, 0.1);
            red.observe("s", "/a", "GET", outcome, 0.1);
            assert_eq!(red.count("s", "/a", "GET", outcome), 2);
        }
    }

    #[test]
    fn labels_are_bounded() {
        let registry = Registry::new();
        let red = RedMetrics::register(&registry).expect("an empty registry");
        for number in 0..ROUTES_MAX + 100 {
            red.observe("s", &format!("/{number}"), "GET", Outcome::Ok, 0.0);
        }
        assert_eq!(
            red.count(ROUTE_OVERFLOW, ROUTE_OVERFLOW, "GET", Outcome::Ok),
            100
        );
        red.observe("s", "/1", "GET", Outcome::Ok, 0.0);
        assert_eq!(red.count("s", "/1", "GET", Outcome::Ok), 2);
        red.observe("s", "/1", "BREW", Outcome::Ok, 0.0);
        assert_eq!(
            red.count(ROUTE_OVERFLOW, ROUTE_OVERFLOW, "other", Outcome::Ok),
            1
        );
    }

    #[test]
    fn outcomes_follow_the_standards() {
        assert_eq!(Outcome::from_status(304), Outcome::Ok);
        assert_eq!(Outcome::from_status(404), Outcome::ClientError);
        assert_eq!(Outcome::from_status(503), Outcome::ServerError);
        assert_eq!(Outcome::from_grpc_code(5), Outcome::ClientError);
        assert_eq!(Outcome::from_grpc_code(14), Outcome::ServerError);
        assert_eq!(Outcome::from_grpc_code(2), Outcome::ServerError);
        assert_eq!(Outcome::from_grpc_code(99), Outcome::ServerError);
    }
}
