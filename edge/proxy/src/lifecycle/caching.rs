//! `cache`: which requests use it, under which key, and what may be kept and served.

use std::time::{SystemTime, UNIX_EPOCH};

use mcsp_edge_cache::BodyReader;
use pingora_cache::{CacheMeta, ForcedFreshness, HitHandler, NoCacheReason, RespCacheable};
use pingora_error::{Error, ErrorSource, ErrorType};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use super::EdgeProxy;
use super::forwarding::may_try_another;
use crate::context::RequestContext;
use crate::freshness;
use crate::route::Route;

/// Is this a route whose answers are kept?
pub(super) fn is_cached_route(context: &RequestContext) -> bool {
    matches!(context.route, Some(Route::Media(_) | Route::Web(_)))
}

/// Media: the path without its token, and no query. Web: path and query.
pub(super) fn cache_key(request: &RequestHeader, context: &RequestContext) -> Option<String> {
    match &context.route {
        Some(Route::Media(media)) => Some(media.origin_path()),
        Some(Route::Web(path)) => Some(match request.uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.clone(),
        }),
        _ => None,
    }
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
