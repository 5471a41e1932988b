//! How long an answer may be kept: as its origin says (RFC 9111 section 4.2), otherwise by its kind.

use std::time::{Duration, SystemTime};

use http::header::{AGE, CONTENT_LENGTH, SET_COOKIE, TRANSFER_ENCODING, VARY};
use http::{StatusCode, Version};
use pingora_cache::cache_control::CacheControl;
use pingora_cache::filters::resp_cacheable;
use pingora_cache::{CacheMeta, CacheMetaDefaults, NoCacheReason, RespCacheable};
use pingora_http::ResponseHeader;

use crate::route::{MediaKind, Route};

const SEGMENT_S: u64 = 24 * 3600;
const MANIFEST_S: u64 = 30;
const ART_S: u64 = 7 * 24 * 3600;

const fn defaults(
    fresh: fn(StatusCode) -> Option<Duration>,
    stale_if_error_s: u32,
) -> CacheMetaDefaults {
    CacheMetaDefaults::new(fresh, 0, stale_if_error_s)
}

fn for_ok(status: StatusCode, seconds: u64) -> Option<Duration> {
    (status == StatusCode::OK).then(|| Duration::from_secs(seconds))
}

/// The lives of the specification, for origins that say nothing; the viewer's page lives only as long as its origin
/// says.
fn defaults_of(route: &Route, stale_if_error_s: u32) -> Option<CacheMetaDefaults> {
    match route {
        Route::Media(media) => Some(match media.kind {
            MediaKind::Segment => defaults(|status| for_ok(status, SEGMENT_S), stale_if_error_s),
            MediaKind::Manifest => defaults(|status| for_ok(status, MANIFEST_S), stale_if_error_s),
            MediaKind::Art => defaults(|status| for_ok(status, ART_S), stale_if_error_s),
        }),
        Route::Web(_) => Some(defaults(|_| None, stale_if_error_s)),
        Route::Plain(_) | Route::Api(_) | Route::Storage(_) => None,
    }
}

/// May this answer be kept, and for how long?
pub(crate) fn decide(
    route: &Route,
    header: &ResponseHeader,
    stale_if_error_s: u32,
) -> RespCacheable {
    let no = |reason| RespCacheable::Uncacheable(NoCacheReason::Custom(reason));
    let Some(defaults) = defaults_of(route, stale_if_error_s) else {
        return no("route");
    };
    if header.status != StatusCode::OK {
        return no("status");
    }
    if !is_delimited(header) {
        return no("close-delimited");
    }
    if header.headers.contains_key(SET_COOKIE) {
        return no("set-cookie");
    }
    if varies(header) {
        return no("vary");
    }
    let control = CacheControl::from_resp_headers(header);
    match resp_cacheable(control.as_ref(), header.clone(), false, &defaults) {
        RespCacheable::Cacheable(meta) => RespCacheable::Cacheable(aged(meta, header)),
        uncacheable @ RespCacheable::Uncacheable(_) => uncacheable,
    }
}

/// Does the answer say where it ends? One that ends with its connection cannot be told from one that broke off (RFC
/// 9112 section 8), so it is not kept.
fn is_delimited(header: &ResponseHeader) -> bool {
    header.version == Version::HTTP_2
        || header.headers.contains_key(CONTENT_LENGTH)
        || header.headers.contains_key(TRANSFER_ENCODING)
}

/// Does the answer depend on more than what the origin is sent? Encodings and origins are taken out of requests on
/// cached routes, so those two make no difference.
fn varies(header: &ResponseHeader) -> bool {
    header.headers.get_all(VARY).iter().any(|value| {
        value.to_str().map_or(true, |names| {
            names.split(',').map(str::trim).any(|name| {
                !["accept-encoding", "origin"].contains(&name.to_ascii_lowercase().as_str())
            })
        })
    })
}

/// Counts the age that the answer had when it came (RFC 9111 section 4.2.3).
fn aged(meta: CacheMeta, header: &ResponseHeader) -> CacheMeta {
    let age = header
        .headers
        .get(AGE)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
        .map_or(Duration::ZERO, Duration::from_secs);
    if age.is_zero() {
        return meta;
    }
    let earlier = |instant: SystemTime| instant.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
    CacheMeta::new(
        earlier(meta.fresh_until()),
        earlier(meta.created()),
        meta.stale_while_revalidate_sec(),
        meta.stale_if_error_sec(),
        meta.response_header_copy(),
    )
}

#[cfg(test)]
mod tests {
    use mcsp_api::Residency;

    use super::*;
    use crate::route::MediaRoute;
    use crate::stage::testing::CONTENT;

    fn media(kind: MediaKind) -> Route {
        Route::Media(MediaRoute {
            token: String::new(),
            residency: Residency::Global,
            content_id: CONTENT.parse().unwrap(),
            origin_path: "/x".to_owned(),
            rest_at: 1,
            kind,
        })
    }

    fn life(
        route: &Route,
        status: u16,
        headers: &[(&'static str, &str)],
    ) -> Result<u64, &'static str> {
        let mut header = ResponseHeader::build(status, None).unwrap();
        for (name, value) in headers {
            header.append_header(*name, *value).unwrap();
        }
        match decide(route, &header, 60) {
            RespCacheable::Cacheable(meta) => Ok(meta
                .fresh_until()
                .duration_since(SystemTime::now())
                .map_or(0, |left| left.as_secs() + 1)),
            RespCacheable::Uncacheable(reason) => Err(reason.as_str()),
        }
    }

    #[test]
    fn the_origin_decides_and_the_kind_stands_in() {
        const LENGTH: (&str, &str) = ("content-length", "1");
        let segment = media(MediaKind::Segment);
        let web = Route::Web("/".to_owned());
        let control = |value: &'static str| ("cache-control", value);
        let cases = [
            (&segment, 200, vec![LENGTH], Ok(SEGMENT_S)),
            (
                &media(MediaKind::Manifest),
                200,
                vec![LENGTH],
                Ok(MANIFEST_S),
            ),
            (&media(MediaKind::Art), 200, vec![LENGTH], Ok(ART_S)),
            (&segment, 200, vec![LENGTH, control("max-age=10")], Ok(10)),
            (
                &segment,
                200,
                vec![LENGTH, control("max-age=10, s-maxage=20")],
                Ok(20),
            ),
            (
                &segment,
                200,
                vec![LENGTH, control("max-age=10"), ("age", "4")],
                Ok(6),
            ),
            (
                &segment,
                200,
                vec![LENGTH, control("no-store")],
                Err("OriginNotCache"),
            ),
            (
                &segment,
                200,
                vec![LENGTH, control("private")],
                Err("OriginNotCache"),
            ),
            (&segment, 404, vec![LENGTH], Err("status")),
            (&segment, 206, vec![LENGTH], Err("status")),
            (&segment, 200, vec![], Err("close-delimited")),
            (
                &segment,
                200,
                vec![("transfer-encoding", "chunked")],
                Ok(SEGMENT_S),
            ),
            (
                &segment,
                200,
                vec![LENGTH, ("set-cookie", "a=b")],
                Err("set-cookie"),
            ),
            (
                &segment,
                200,
                vec![LENGTH, ("vary", "Accept-Encoding, Origin")],
                Ok(SEGMENT_S),
            ),
            (
                &segment,
                200,
                vec![LENGTH, ("vary", "user-agent")],
                Err("vary"),
            ),
            (&segment, 200, vec![LENGTH, ("vary", "*")], Err("vary")),
            (&web, 200, vec![LENGTH], Err("OriginNotCache")),
            (&web, 200, vec![LENGTH, control("max-age=5")], Ok(5)),
        ];
        for (route, status, headers, wanted) in cases {
            assert_eq!(
                life(route, status, &headers),
                wanted,
                "{status} {headers:?}"
            );
        }
    }
}
