//! What a child gets of a response's fields.

use http::header::{AGE, CONTENT_LENGTH, SERVER};
use http::{HeaderMap, HeaderValue};
use mcsp_api::headers::{PRIVATE_PREFIX, TRACEPARENT};

use crate::response::SERVER_NAME;

/// The fields of a stored response as a child gets them: all that its origin said to caches, surrogate keys and targeted
/// cache control (RFC 9213) among them, since it stores by them as this node did. What each answer gets anew is left out.
pub(crate) fn fields_for_child(stored: &HeaderMap) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(stored.len() + 8);
    for (name, value) in stored {
        let text = name.as_str();
        let is_new_each_time = matches!(*name, AGE | SERVER | CONTENT_LENGTH)
            || text == TRACEPARENT
            || text.starts_with(PRIVATE_PREFIX);
        if !is_new_each_time {
            fields.append(name.clone(), value.clone());
        }
    }
    fields.insert(SERVER, HeaderValue::from_static(SERVER_NAME));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_stores_by_what_viewers_do_not_get() {
        let mut stored = HeaderMap::new();
        for (name, value) in [
            ("surrogate-key", "k"),
            ("cache-tag", "t"),
            ("mcsp-cache-control", "max-age=5"),
            ("etag", "\"e\""),
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("age", "7"),
            ("content-length", "2"),
            ("x-mcsp-parent", "stale"),
            ("traceparent", "00-0-0-00"),
            ("server", "origin"),
        ] {
            stored.insert(name, HeaderValue::from_static(value));
        }
        let fields = fields_for_child(&stored);
        let mut names: Vec<&str> = fields.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        let wanted = [
            "cache-tag",
            "date",
            "etag",
            "mcsp-cache-control",
            "server",
            "surrogate-key",
        ];
        assert_eq!(names, wanted);
        assert_eq!(fields[SERVER], SERVER_NAME);
    }
}
