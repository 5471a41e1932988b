//! What is said of a media object: its type, how long it may be cached, and what purges it.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue};
use mcsp_api::media_path::MediaPath;
use mcsp_objects::ObjectMeta;

/// Segments never change under their name: 24 hours (RFC 9111; `immutable` is RFC 8246).
const SEGMENT: &str = "public, max-age=86400, immutable";
/// A manifest changes when a rendition joins: 30 seconds.
const MANIFEST: &str = "public, max-age=30";
/// Thumbnails and covers: 7 days.
const ART: &str = "public, max-age=604800";
/// What is not there may be in a moment: long enough that many who ask for it are one request.
const MISSING: &str = "public, max-age=1";
const CONTENT_TYPE_DEFAULT: &str = "application/octet-stream";
/// Edges drop all that carries a content id when that item is deleted.
const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

/// Sets type, cache life and surrogate key.
pub(crate) fn describe(headers: &mut HeaderMap, path: &MediaPath<'_>, meta: &ObjectMeta) {
    let content_type = match content_type(path.rest) {
        Some(known) => HeaderValue::from_static(known),
        None => HeaderValue::from_str(&meta.content_type)
            .ok()
            .filter(|value| !value.is_empty())
            .unwrap_or(HeaderValue::from_static(CONTENT_TYPE_DEFAULT)),
    };
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache_control(path)));
    if let Ok(key) = HeaderValue::from_str(&path.content_id.to_string()) {
        headers.insert(SURROGATE_KEY, key);
    }
}

/// Sets for how long it may be believed that something does not exist.
pub(crate) fn describe_missing(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(MISSING));
}

fn cache_control(path: &MediaPath<'_>) -> &'static str {
    if path.is_manifest() {
        MANIFEST
    } else if path.rest.starts_with("art/") {
        ART
    } else {
        SEGMENT
    }
}

/// The type that a name's ending says; the writer's word counts only for other endings.
fn content_type(rest: &str) -> Option<&'static str> {
    let (_, extension) = rest.rsplit_once('.')?;
    Some(match extension {
        "m3u8" => "application/vnd.apple.mpegurl",
        "mpd" => "application/dash+xml",
        "m4s" => "video/iso.segment",
        "mp4" => "video/mp4",
        "m4a" => "audio/mp4",
        "vtt" => "text/vtt",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "webp" => "image/webp",
        _ => return None,
    })
}
