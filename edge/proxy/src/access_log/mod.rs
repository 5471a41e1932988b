//! `log`: one line and one observation a request.

mod line;
mod session;
mod sink;

use std::cell::Cell;
use std::time::Duration;

use http::{Method, Version};
use mcsp_telemetry::Outcome;

use self::line::Line;
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::route::Route;

pub(crate) use session::write_session;
pub use sink::AccessLog;

const SERVICE: &str = "edge";
const TARGET: &str = "access";

/// The status of a request whose client went before its answer began, in the log alone; nginx made it known.
pub(crate) const CLIENT_CLOSED: u16 = 499;

/// How a request ended.
#[derive(Debug)]
pub(crate) struct Ending<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) version: Version,
    /// 0: none was sent; [`CLIENT_CLOSED`].
    pub(crate) status: u16,
    pub(crate) outcome: Outcome,
    /// Of the answer's body.
    pub(crate) bytes: u64,
    /// Why the request ended early, if it did.
    pub(crate) error: Option<&'a str>,
}

thread_local! {
    /// A line's memory, for the next one.
    static SPARE: Cell<String> = const { Cell::new(String::new()) };
}

/// Writes the line and counts.
pub(crate) fn write(edge: &Edge, context: &RequestContext, ending: &Ending<'_>) {
    let duration = context.started.elapsed();
    count(edge, context, ending, duration);
    if !tracing::enabled!(target: "access", tracing::Level::INFO) {
        return;
    }
    let Some(log) = &edge.access_log else {
        return;
    };
    let line = line_of(edge, context, ending, duration);
    edge.metrics
        .log_dropped
        .inc_by_new(log.add(line.as_bytes()));
    SPARE.set(line);
}

fn count(edge: &Edge, context: &RequestContext, ending: &Ending<'_>, duration: Duration) {
    let seconds = duration.as_secs_f64();
    if let Some(network) = context.visitor.signals.network {
        let requests = &edge.metrics.listed_requests;
        requests.with_label_values(&[network.as_str()]).inc();
    }
    let is_viewers = context.child.is_none();
    let handles = edge
        .metrics
        .of_route(context.route.as_deref().filter(|_| is_viewers));
    if let Some(handles) = handles {
        handles.bytes_sent.inc_by(ending.bytes);
        if let Some(red) = handles.red(ending.method) {
            red.observe(ending.outcome, seconds);
            return;
        }
    } else {
        edge.metrics
            .bytes_sent
            .with_label_values(&[context.route_label()])
            .inc_by(ending.bytes);
    }
    if let Some(red) = &edge.red {
        let route = context.route_label();
        red.observe(
            SERVICE,
            route,
            ending.method.as_str(),
            ending.outcome,
            seconds,
        );
    }
}

fn line_of(
    edge: &Edge,
    context: &RequestContext,
    ending: &Ending<'_>,
    duration: Duration,
) -> String {
    let mut line = Line::new(SPARE.take(), TARGET, edge.clock.now_ms());
    line.text("pop", &edge.name);
    line.word("route", context.route_label());
    line.text("method", ending.method.as_str());
    match context.route.as_deref() {
        // The path that the token was taken out of.
        Some(Route::Media(media)) if !media.token.is_empty() => {
            let rest = media.origin_path.strip_prefix("/media").unwrap_or_default();
            line.joined("path", "/media/[redacted]", rest);
        }
        _ => line.path(ending.path),
    }
    if let Some(child) = &context.child {
        line.text("child", child.caller.account());
    }
    line.number("status", u64::from(ending.status));
    line.word("outcome", ending.outcome.as_str());
    let duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    line.thousandths("duration_ms", duration_us);
    line.number("bytes", ending.bytes);
    line.number("body_bytes", context.body_bytes);
    if let Some(status) = &context.cache_status {
        line.text("cache", status);
    }
    if let Some(detail) = context.detail {
        line.word("detail", detail);
    }
    if let Some((class, reason)) = context.turned {
        line.word("limit_class", class.name());
        line.word("limit", reason);
    }
    if let Some(country) = context.place.country {
        line.word("country", country.as_str());
    }
    let signals = &context.visitor.signals;
    if let Some(asn) = signals.asn {
        line.number("asn", u64::from(asn));
    }
    if let Some(network) = signals.network {
        line.word("network", network.as_str());
    }
    if let Some(ja4) = &signals.ja4 {
        line.text("ja4", ja4.as_str());
    }
    if let Some(region) = &context.region {
        line.text("region", region.id());
    }
    line.number(
        "tries",
        u64::try_from(context.tried.len()).unwrap_or(u64::MAX),
    );
    line.word("http", version_name(ending.version));
    line.flag("tls", context.is_tls);
    if let Some(error) = ending.error {
        line.text("error", error);
    }
    line.hex("trace_id", &context.trace.trace_id);
    line.hex("span_id", &context.trace.span_id);
    line.end()
}

fn version_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}
