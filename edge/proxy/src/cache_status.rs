//! `Cache-Status` (RFC 9211).

use std::fmt::Write as _;
use std::time::SystemTime;

use pingora_cache::{CachePhase, HttpCache};

use crate::context::RequestContext;

/// How the cache took part in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheReport {
    /// The metric's label.
    pub(crate) outcome: &'static str,
    /// The header's parameters.
    parameters: String,
}

impl CacheReport {
    /// The header's value; `name` is the PoP's id, which is a token.
    pub(crate) fn header_value(&self, name: &str, detail: Option<&str>) -> String {
        let mut value = name.to_owned();
        if !self.parameters.is_empty() {
            let _ = write!(value, "; {}", self.parameters);
        }
        if let Some(detail) = detail {
            // Details are our own words: letters, digits and hyphens, a token.
            let _ = write!(value, "; detail={detail}");
        }
        value
    }

    /// For what the edge answered by itself: neither a hit nor forwarded.
    pub(crate) fn answered() -> Self {
        Self {
            outcome: "answered",
            parameters: String::new(),
        }
    }

    /// For an answer that came by way of the cache or around it.
    pub(crate) fn of(cache: &HttpCache, context: &RequestContext, now: SystemTime) -> Self {
        let status = context.upstream_status;
        let forwarded = |why: &str| match status {
            Some(status) => format!("fwd={why}; fwd-status={status}"),
            None => format!("fwd={why}"),
        };
        let ttl = || {
            cache
                .maybe_cache_meta()
                .map_or(0, |meta| seconds_between(now, meta.fresh_until()))
        };
        let (outcome, parameters) = match cache.phase() {
            CachePhase::Hit if context.is_collapsed => {
                ("collapsed", "fwd=uri-miss; collapsed".to_owned())
            }
            CachePhase::Hit => ("hit", format!("hit; ttl={}", ttl())),
            CachePhase::Stale | CachePhase::StaleUpdating => {
                ("stale", format!("hit; ttl={}", ttl()))
            }
            CachePhase::Miss => ("miss", format!("{}; stored", forwarded("uri-miss"))),
            CachePhase::Expired => ("expired", format!("{}; stored", forwarded("stale"))),
            CachePhase::Revalidated | CachePhase::RevalidatedNoCache(_) => {
                ("revalidated", "fwd=stale; fwd-status=304".to_owned())
            }
            CachePhase::Disabled(_)
            | CachePhase::Bypass
            | CachePhase::Uninit
            | CachePhase::CacheKey => ("bypass", forwarded("miss")),
        };
        Self {
            outcome,
            parameters,
        }
    }
}

/// Whole seconds, rounded down: what is stale by a moment is stale.
fn seconds_between(from: SystemTime, to: SystemTime) -> i64 {
    let whole =
        |duration: std::time::Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX - 1);
    to.duration_since(from).map_or_else(
        |past| -whole(past.duration()) - i64::from(past.duration().subsec_nanos() > 0),
        whole,
    )
}

/// Why a response was not kept, as a token for `detail`.
pub(crate) fn no_cache_detail(cache: &HttpCache) -> Option<&'static str> {
    match cache.phase() {
        CachePhase::Disabled(reason) => Some(match reason.as_str() {
            "NeverEnabled" => return None,
            "OriginNotCache" => "origin-says-no",
            "ResponseTooLarge" | "PredictedResponseTooLarge" => "too-large",
            "StorageError" => "storage-error",
            "InternalError" => "internal-error",
            "UpstreamError" => "upstream-error",
            "CacheLockGiveUp" | "CacheLockTimeout" | "CacheLockRetryLimit" => "lock",
            other => other,
        }),
        _ => None,
    }
}
