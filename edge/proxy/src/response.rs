//! `response`: what every answer gets before it goes to the client.

use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, HeaderName, SERVER,
    STRICT_TRANSPORT_SECURITY,
};
use http::{HeaderMap, HeaderValue};
use mcsp_api::headers::{PRIVATE_PREFIX, TRACEPARENT};
use mcsp_edge_cache::engine::SURROGATE_KEY;
use mcsp_edge_limits::{RATE_LIMIT, RATE_LIMIT_POLICY};
use pingora_error::Result;
use pingora_http::ResponseHeader;

use crate::context::RequestContext;
use crate::edge::Edge;

pub(crate) const CACHE_STATUS: &str = "cache-status";
pub(crate) const SERVER_NAME: &str = "mcsp-edge";
/// What pages of other origins may read beside the safe-listed headers; players among them how media came (CTA-5006).
const EXPOSED: &str = "Accept-Ranges, Age, Cache-Status, CMSD-Dynamic, CMSD-Static, Content-Length, Content-Range, Date, \
                       ETag, Location, RateLimit, RateLimit-Policy, Retry-After, Server-Timing, Traceparent";
/// Lets pages of other origins see the timing of what they load, `Server-Timing` with it (W3C Resource Timing).
const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");

/// What an answer says that pages of other origins may read. It stands for whatever an origin said of that.
pub(crate) static CROSS_ORIGIN: [(HeaderName, HeaderValue); 3] = [
    (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
    (
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(EXPOSED),
    ),
    (TIMING_ALLOW_ORIGIN, HeaderValue::from_static("*")),
];

/// Takes away what is for our own nodes, and adds what the edge says for itself.
pub(crate) fn decorate(
    edge: &Edge,
    context: &RequestContext,
    header: &mut ResponseHeader,
) -> Result<()> {
    for name in private_names(&header.headers) {
        header.remove_header(&name);
    }
    header.insert_header(SERVER, SERVER_NAME)?;
    header.insert_header(TRACEPARENT, context.trace.header_value())?;
    if context.is_tls && edge.config.hsts_max_age_s > 0 {
        let value = format!("max-age={}", edge.config.hsts_max_age_s);
        header.insert_header(STRICT_TRANSPORT_SECURITY, value)?;
    }
    if let Some(renewed) = &context.renewed {
        header.append_header(renewed.0.clone(), renewed.1.clone())?;
    }
    if context.is_cross_origin() {
        for (name, value) in &CROSS_ORIGIN {
            header.insert_header(name.clone(), value.clone())?;
        }
    }
    // Refusals bring their own; origins may have limits too.
    if let Some(standing) = &context.standing
        && !header.headers.contains_key(RATE_LIMIT)
    {
        header.insert_header(RATE_LIMIT, standing.rate_limit())?;
        header.insert_header(RATE_LIMIT_POLICY, standing.policy())?;
    }
    if let Some(status) = &context.cache_status {
        header.insert_header(CACHE_STATUS, status)?;
    }
    Ok(())
}

fn private_names(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .keys()
        .filter(|name| name.as_str().starts_with(PRIVATE_PREFIX) || name.as_str() == SURROGATE_KEY)
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::testing::{CONTENT, Fixture, request};

    fn decorated(path: &str, is_tls: bool) -> ResponseHeader {
        let fixture = Fixture::new("lhr1");
        let head = request("GET", path);
        let mut context = fixture.classified(&head);
        context.is_tls = is_tls;
        context.cache_status = Some("lhr1; hit".to_owned());
        let mut header = ResponseHeader::build(200, None).unwrap();
        for (name, value) in [
            ("server", "axum"),
            ("surrogate-key", "k"),
            ("x-mcsp-secret", "1"),
            ("etag", "\"e\""),
        ] {
            header.insert_header(name, value).unwrap();
        }
        decorate(&fixture.edge, &context, &mut header).unwrap();
        header
    }

    #[test]
    fn media_may_be_read_by_other_origins_and_internals_by_nobody() {
        let header = decorated(&format!("/media/t/global/{CONTENT}/a.m4s"), true);
        let get = |name: &str| {
            header
                .headers
                .get(name)
                .map(|value| value.to_str().unwrap())
        };
        assert_eq!(get("server"), Some("mcsp-edge"));
        assert_eq!((get("surrogate-key"), get("x-mcsp-secret")), (None, None));
        assert_eq!(get("access-control-allow-origin"), Some("*"));
        let exposed = get("access-control-expose-headers").unwrap();
        for name in ["ETag", "CMSD-Dynamic", "Cache-Status"] {
            assert!(exposed.split(", ").any(|word| word == name), "{name}");
        }
        assert_eq!(get("timing-allow-origin"), Some("*"));
        assert_eq!(get("strict-transport-security"), Some("max-age=31536000"));
        assert_eq!(get("cache-status"), Some("lhr1; hit"));
        assert!(get("traceparent").is_some());
    }

    #[test]
    fn the_api_is_for_its_own_origin_and_plain_listeners_claim_no_tls() {
        let header = decorated("/api/v1/users/me", false);
        assert!(!header.headers.contains_key("access-control-allow-origin"));
        assert!(!header.headers.contains_key("strict-transport-security"));
    }
}
