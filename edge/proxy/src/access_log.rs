//! `log`: one line and one observation a request.

use mcsp_telemetry::{Outcome, redact_path};
use pingora_proxy::Session;

use crate::context::RequestContext;
use crate::edge::Edge;

const SERVICE: &str = "edge";

/// `error` is why the request ended early, if it did.
pub(crate) fn write(
    edge: &Edge,
    session: &Session,
    context: &RequestContext,
    error: Option<&pingora_error::Error>,
) {
    let request = session.req_header();
    let route = context.route_label();
    let status = session
        .response_written()
        .map_or(0, |response| response.status.as_u16());
    let seconds = context.started.elapsed().as_secs_f64();
    let bytes = session.body_bytes_sent() as u64;
    let outcome = match (status, error) {
        (0, _) => Outcome::Aborted,
        (_, Some(error)) if *error.esource() == pingora_error::ErrorSource::Downstream => {
            Outcome::Aborted
        }
        // An answer that broke off after its head.
        (200..=399, Some(_)) => Outcome::ServerError,
        (status, _) => Outcome::from_status(status),
    };
    if let Some(red) = &edge.red {
        red.observe(SERVICE, route, request.method.as_str(), outcome, seconds);
    }
    edge.metrics
        .bytes_sent
        .with_label_values(&[route])
        .inc_by(bytes);
    tracing::info!(
        target: "access",
        pop = edge.name,
        route,
        method = request.method.as_str(),
        path = redact_path(request.uri.path()),
        status,
        outcome = outcome.as_str(),
        duration_ms = seconds * 1000.0,
        bytes,
        body_bytes = context.body_bytes,
        cache = context.cache_status.as_deref(),
        detail = context.detail,
        country = context.place.country.map(|country| country.to_string()),
        region = context.region.as_ref().map(|region| region.id()),
        tries = context.tried.len(),
        http = ?request.version,
        tls = context.is_tls,
        error = error.map(|error| error.etype().as_str().to_owned()),
        trace_id = context.trace.trace_id_hex(),
        span_id = context.trace.span_id_hex(),
        "request"
    );
}
