//! What a successful unsafe request makes stale (RFC 9111 section 4.4).

use http::{HeaderMap, Method, StatusCode, header};
use url::Url;

/// Whether a method may change things at the origin (RFC 9110 section 9.2.1). Unknown methods may.
#[must_use]
pub fn is_unsafe(method: &Method) -> bool {
    !matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    )
}

/// The URIs whose stored responses, all variants of them, are stale after this exchange: the target, and `Location`
/// and `Content-Location` where they are of the same origin. Empty for safe methods and for errors.
///
/// `target_uri` is absolute: scheme, host and path as they are in the cache key, before the query is filtered.
#[must_use]
pub fn invalidated(
    method: &Method,
    status: StatusCode,
    target_uri: &str,
    response: &HeaderMap,
) -> Vec<String> {
    if !is_unsafe(method) || !(status.is_success() || status.is_redirection()) {
        return Vec::new();
    }
    let mut uris = vec![target_uri.to_owned()];
    let Ok(base) = Url::parse(target_uri) else {
        return uris;
    };
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let resolved = response
            .get(name)
            .and_then(|value| value.to_str().ok())
            .and_then(|reference| base.join(reference.trim()).ok())
            .filter(|resolved| resolved.origin() == base.origin());
        if let Some(mut resolved) = resolved {
            resolved.set_fragment(None);
            uris.push(resolved.into());
        }
    }
    uris.dedup();
    uris
}

/// Whether a reference, resolved against an absolute URI, is this URI.
pub(crate) fn same_resource(target_uri: &str, reference: &str) -> bool {
    let Ok(base) = Url::parse(target_uri) else {
        return false;
    };
    base.join(reference.trim())
        .is_ok_and(|resolved| resolved == base)
}
