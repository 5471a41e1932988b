//! Conditional requests (RFC 9110 section 13): `If-None-Match` and `If-Range`.

use http::HeaderMap;
use http::header::{IF_NONE_MATCH, IF_RANGE, RANGE};

/// Does the answer depend on what is known of the object before its bytes are asked for?
pub(crate) fn needs_meta(headers: &HeaderMap) -> bool {
    headers.contains_key(IF_NONE_MATCH) || headers.contains_key(RANGE)
}

/// Does the caller hold what is current? Validators are compared weakly (section 13.1.2).
pub(crate) fn is_not_modified(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|held| held == "*" || held.strip_prefix("W/").unwrap_or(held) == etag)
}

/// Is a range of the current object wanted? With `If-Range` only if it names it (strong comparison, section 13.1.5);
/// dates are not compared, so they never match.
pub(crate) fn range_applies(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get(IF_RANGE)
        .is_none_or(|held| held.as_bytes() == etag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: http::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, http::HeaderValue::from_static(value))])
    }

    #[test]
    fn any_of_the_held_validators_may_be_current() {
        for value in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*"] {
            assert!(
                is_not_modified(&with(IF_NONE_MATCH, value), "\"a\""),
                "{value}"
            );
        }
        assert!(!is_not_modified(&with(IF_NONE_MATCH, "\"b\""), "\"a\""));
        assert!(!is_not_modified(&HeaderMap::new(), "\"a\""));
    }

    #[test]
    fn a_range_of_another_object_is_not_wanted() {
        assert!(range_applies(&HeaderMap::new(), "\"a\""));
        assert!(range_applies(&with(IF_RANGE, "\"a\""), "\"a\""));
        assert!(!range_applies(&with(IF_RANGE, "W/\"a\""), "\"a\""));
        assert!(!range_applies(
            &with(IF_RANGE, "Fri, 24 May 2013 00:00:00 GMT"),
            "\"a\""
        ));
    }
}
