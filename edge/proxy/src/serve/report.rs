//! What an answer says of how the cache took part in it.

use std::fmt::Write as _;
use std::time::Duration;

use http::header::{ACCESS_CONTROL_EXPOSE_HEADERS, AGE, SET_COOKIE, STRICT_TRANSPORT_SECURITY};
use http::{HeaderName, HeaderValue};
use mcsp_api::headers::TRACEPARENT;
use mcsp_edge_fetch::ParentWord;
use mcsp_edge_policy::cache_status::{CACHE_STATUS, CacheStatus, Forward};
use mcsp_edge_policy::cmsd::{CMSD_DYNAMIC, Dynamic};

use super::client::HeadLines;
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::shield::Child;

/// Server Timing (W3C).
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// More than most of what is said of the cache takes.
const STATUS_BYTES: usize = 96;
static TIMING_OF_HIT: HeaderValue = HeaderValue::from_static("cache;desc=hit");

/// How the cache took part.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Report {
    /// Served without going forward.
    pub(crate) is_hit: bool,
    /// Why it went forward.
    pub(crate) forward: Option<Forward>,
    /// What the origin said.
    pub(crate) forward_status: Option<u16>,
    /// Freshness left, whole seconds.
    pub(crate) ttl_s: Option<i64>,
    pub(crate) is_stored: bool,
    pub(crate) is_collapsed: bool,
    /// It is past its life, and given in place of what the origin should have said.
    pub(crate) stands_in: bool,
    pub(crate) detail: Option<&'static str>,
    /// Seconds since the origin made it; nothing of what came just now without an age.
    pub(crate) age_s: Option<u32>,
    /// How long the origin was waited for.
    pub(crate) origin_wait: Option<Duration>,
}

impl Report {
    /// A response that was held.
    pub(crate) fn hit(ttl_s: i64, age_s: u32) -> Self {
        Self {
            is_hit: true,
            ttl_s: Some(ttl_s),
            age_s: Some(age_s),
            ..Self::default()
        }
    }

    /// The metric's label.
    pub(crate) fn outcome(&self) -> &'static str {
        match (self.is_hit, self.forward) {
            (true, _) if self.ttl_s.is_some_and(|ttl_s| ttl_s < 0) => "stale",
            (true, _) => "hit",
            _ if self.is_collapsed => "collapsed",
            (_, Some(_)) if self.forward_status == Some(304) => "revalidated",
            (_, Some(Forward::Stale | Forward::Request)) if self.is_stored => "expired",
            (_, Some(_)) if self.is_stored => "miss",
            _ => "bypass",
        }
    }

    /// Adds what each answer says for itself, counts it, and leaves a note for the log.
    pub(crate) fn put(&self, edge: &Edge, context: &mut RequestContext, head: &mut impl HeadLines) {
        if let Some(age_s) = self.age_s {
            head.field_u64(&AGE, u64::from(age_s));
        }
        head.fields(&context.own_fields);
        context.detail = self.detail.or(context.detail);
        let member = CacheStatus {
            cache: edge.cache_name(context),
            hit: self.is_hit,
            forward: self.forward,
            forward_status: self.forward_status,
            ttl_s: self.ttl_s,
            stored: self.is_stored,
            collapsed: self.is_collapsed,
            key: None,
            detail: self.detail,
        };
        // Grown once. Writing to a string does not fail.
        let mut status = String::with_capacity(STATUS_BYTES);
        let _ = write!(status, "{member}");
        head.field_fmt(&CACHE_STATUS, format_args!("{status}"));
        context.cache_status = Some(status);
        put_common(edge, context, head);
        if context.child.is_some() {
            Child::put_word(edge, self.parent_word(), head);
            return;
        }
        self.put_timing(edge, context, head);
        if let Some(counters) = edge.metrics.of_route(context.route.as_deref()) {
            counters.cache(self.outcome());
        }
    }

    /// What a child is told that the answer is.
    fn parent_word(&self) -> ParentWord {
        if self.stands_in {
            ParentWord::Stale
        } else if self.is_hit || self.is_collapsed {
            ParentWord::Hit
        } else {
            ParentWord::Miss
        }
    }

    /// Where the time went, and for media the same in the terms of players.
    fn put_timing(&self, edge: &Edge, context: &RequestContext, head: &mut impl HeadLines) {
        let word = if self.is_hit { "hit" } else { "fwd" };
        match self.origin_wait {
            None if self.is_hit => head.field(&SERVER_TIMING, &TIMING_OF_HIT),
            None => head.field_fmt(&SERVER_TIMING, format_args!("cache;desc={word}")),
            Some(wait) => head.field_fmt(
                &SERVER_TIMING,
                format_args!("cache;desc={word}, origin;dur={}", wait.as_millis()),
            ),
        }
        if context.is_media() {
            let delay_ms = u32::try_from(context.started.elapsed().as_millis());
            if delay_ms == Ok(0)
                && let Some(value) = &edge.cmsd_at_once
            {
                return head.field(&CMSD_DYNAMIC, value);
            }
            let dynamic = Dynamic {
                server: &edge.name,
                response_delay_ms: delay_ms.ok(),
                ..Dynamic::default()
            };
            head.field_fmt(&CMSD_DYNAMIC, format_args!("{dynamic}"));
        }
    }
}

/// What every answer has.
pub(crate) fn put_common(edge: &Edge, context: &RequestContext, head: &mut impl HeadLines) {
    let value = traceparent(context);
    let value = std::str::from_utf8(&value).unwrap_or_default();
    head.field_fmt(
        &HeaderName::from_static(TRACEPARENT),
        format_args!("{value}"),
    );
    if let Some(renewed) = &context.renewed {
        put_renewed(renewed, head);
    }
    if context.is_tls
        && context.child.is_none()
        && let Some(hsts) = &edge.hsts
    {
        head.field(&STRICT_TRANSPORT_SECURITY, hsts);
    }
}

/// A renewed token; one in a header is for the player's script.
fn put_renewed((name, value): &(HeaderName, HeaderValue), head: &mut impl HeadLines) {
    head.field(name, value);
    if *name != SET_COOKIE {
        head.field_fmt(&ACCESS_CONTROL_EXPOSE_HEADERS, format_args!("{name}"));
    }
}

/// `TraceContext::header_value` without an allocation.
fn traceparent(context: &RequestContext) -> [u8; 55] {
    let trace = &context.trace;
    let mut value = *b"00-00000000000000000000000000000000-0000000000000000-00";
    put_hex(&mut value[3..35], &trace.trace_id);
    put_hex(&mut value[36..52], &trace.span_id);
    value[54] = b'0' + u8::from(trace.sampled);
    value
}

fn put_hex(out: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        if let [high, low] = pair {
            *high = DIGITS[usize::from(byte >> 4)];
            *low = DIGITS[usize::from(byte & 15)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::testing::Fixture;

    #[test]
    fn the_trace_is_written_as_the_standard_has_it() {
        let context = Fixture::new("lhr1").context();
        let value = traceparent(&context);
        assert_eq!(value.as_slice(), context.trace.header_value().as_bytes());
    }
}
