//! `cache`: which requests use it, under which key, and what may be kept and served.

use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{CONTENT_LENGTH, RANGE};
use mcsp_edge_cache::BodyReader;
use pingora_cache::{CacheMeta, ForcedFreshness, HitHandler, NoCacheReason, RespCacheable};
use pingora_error::{Error, ErrorSource, ErrorType};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{RangeType, Session, range_header_filter};

use super::EdgeProxy;
use super::forwarding::may_try_another;
use crate::context::RequestContext;
use crate::freshness;
use crate::route::Route;

/// With more ranges than this in one request, the whole object is sent.
const RANGES_MAX: usize = 16;

/// Is this a route whose answers are kept?
pub(super) fn is_cached_route(context: &RequestContext) -> bool {
    matches!(context.route, Some(Route::Media(_) | Route::Web(_)))
}

/// Media: the path without its token. Web: the path. Neither has the query: it selects nothing at the origin, and each
/// that a client thinks of would be one more copy in memory.
pub(super) fn cache_key(context: &RequestContext) -> Option<String> {
    match &context.route {
        Some(Route::Media(media)) => Some(media.origin_path.clone()),
        Some(Route::Web(path)) => Some(path.clone()),
        _ => None,
    }
}

/// What of a cached object is sent. Pingora's own choice, but for a range of its last 0 bytes and for an object without
/// bytes: there it counts below zero, so such a range is not looked at (RFC 9110 section 14.2 leaves us that).
pub(super) fn select_range(request: &RequestHeader, response: &mut ResponseHeader) -> RangeType {
    let is_empty = response
        .headers
        .get(CONTENT_LENGTH)
        .is_some_and(|length| length.as_bytes() == b"0");
    let asks_for_nothing = request
        .headers
        .get(RANGE)
        .and_then(|range| range.to_str().ok()?.split_once('='))
        .is_some_and(|(_, ranges)| ranges.split(',').any(is_last_zero_bytes));
    if is_empty || asks_for_nothing {
        return RangeType::None;
    }
    range_header_filter(request, response, Some(RANGES_MAX))
}

fn is_last_zero_bytes(range: &str) -> bool {
    range
        .trim()
        .strip_prefix('-')
        .is_some_and(|count| count.bytes().all(|digit| digit == b'0'))
}

impl EdgeProxy {
    pub(super) fn enable_cache(&self, session: &mut Session, context: &RequestContext) {
        if !is_cached_route(context) {
            return;
        }
        let cache = self.edge.cache;
        session.cache.enable(
            cache,
            None,
            None,
            Some(cache.lock()),
            Some(cache.lock_options()),
        );
        let bytes_max = usize::try_from(cache.object_bytes_max()).unwrap_or(usize::MAX);
        session.cache.set_max_file_size_bytes(bytes_max);
    }

    /// While neither the feed nor the origin has vouched for an object of late, it is revalidated before it is served;
    /// its windows for stale service stay open for an origin that is away too.
    pub(super) fn judge_hit(
        &self,
        meta: &CacheMeta,
        hit: &HitHandler,
        is_fresh: bool,
        context: &mut RequestContext,
    ) -> Option<ForcedFreshness> {
        let reader = hit.as_any().downcast_ref::<BodyReader>();
        context.is_collapsed = reader.is_some_and(BodyReader::is_fill);
        let within_ms = self.edge.config.trust.revalidate_after_ms;
        context.is_unverified = self
            .edge
            .feed
            .needs_revalidation(unix_ms(meta.epoch()), within_ms);
        (is_fresh && context.is_unverified && !context.is_collapsed)
            .then_some(ForcedFreshness::ForceExpiredServeStale { expired_at: None })
    }

    pub(super) fn judge_response(
        &self,
        response: &ResponseHeader,
        context: &RequestContext,
    ) -> RespCacheable {
        let Some(route) = &context.route else {
            return RespCacheable::Uncacheable(NoCacheReason::Custom("route"));
        };
        let decision = freshness::decide(route, response, self.edge.config.stale_if_error_s);
        match (decision, self.edge.cache.may_fill(response)) {
            (RespCacheable::Cacheable(_), Err(reason)) => {
                RespCacheable::Uncacheable(NoCacheReason::Custom(reason))
            }
            (decision, _) => decision,
        }
    }

    /// RFC 5861: for an origin that cannot be reached, does not answer in time, or says 500, 502, 503 or 504; and while
    /// another request revalidates, where the origin allows it and the feed is there to say otherwise.
    pub(super) fn may_serve_stale(
        &self,
        context: &mut RequestContext,
        error: Option<&Error>,
    ) -> bool {
        let Some(error) = error else {
            return !context.is_unverified;
        };
        let may = *error.esource() == ErrorSource::Upstream
            && match error.etype() {
                // Another origin may do better; nothing was said to the client yet.
                ErrorType::HTTPStatus(502..=504) if may_try_another(context, &self.edge.config) => {
                    false
                }
                ErrorType::HTTPStatus(status) => matches!(status, 500 | 502 | 503 | 504),
                _ => true,
            };
        if may {
            let why = if context.is_unverified {
                "unverified"
            } else {
                "error"
            };
            self.edge.metrics.stale.with_label_values(&[why]).inc();
            context.detail = Some(if context.is_unverified {
                "unverified"
            } else {
                "stale-if-error"
            });
        }
        may
    }
}

fn unix_ms(instant: SystemTime) -> i64 {
    instant.duration_since(UNIX_EPOCH).map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::testing::{Fixture, request};

    #[test]
    fn queries_make_no_copies() {
        let fixture = Fixture::new("lhr1");
        let key = |path: &str| cache_key(&fixture.classified(&mut request("GET", path)));
        assert_eq!(key("/assets/app.js").as_deref(), Some("/assets/app.js"));
        assert_eq!(key("/assets/app.js?1"), key("/assets/app.js?2"));
        assert_eq!(key("/api/v1/users/me"), None);
    }

    fn selected(range: &str, bytes: usize) -> (RangeType, u16) {
        let mut head = request("GET", "/");
        head.insert_header("range", range).unwrap();
        let mut response = ResponseHeader::build(200, None).unwrap();
        response.insert_header("content-length", bytes).unwrap();
        let selection = select_range(&head, &mut response);
        (selection, response.status.as_u16())
    }

    #[test]
    fn ranges_are_cut_to_the_object() {
        assert_eq!(selected("bytes=0-9", 100), (RangeType::Single(0..10), 206));
        assert_eq!(selected("bytes=-1", 100), (RangeType::Single(99..100), 206));
        assert_eq!(selected("bytes=100-", 100), (RangeType::Invalid, 416));
    }

    #[test]
    fn a_range_of_nothing_is_not_looked_at() {
        for (range, bytes) in [
            ("bytes=-1", 0),
            ("bytes=-0", 0),
            ("bytes=0-", 0),
            ("bytes=-0", 100),
            ("bytes=0-1, -00", 100),
        ] {
            assert_eq!(selected(range, bytes), (RangeType::None, 200), "{range}");
        }
    }

    #[test]
    fn a_range_too_many_gets_the_whole() {
        let ranges: Vec<_> = (0..RANGES_MAX).map(|n| format!("{0}-{0}", n * 2)).collect();
        let range = format!("bytes={}", ranges.join(","));
        assert_eq!(selected(&range, 100), (RangeType::None, 200));
    }
}
