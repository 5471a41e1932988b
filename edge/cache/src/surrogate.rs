//! Surrogate keys of a response.

use std::sync::Arc;

use http::HeaderMap;

/// More surrogate keys than this, or longer ones, and the response is not stored: a purge could not find it.
const TAGS_MAX: usize = 64;
const TAG_BYTES_MAX: usize = 256;

/// The response header that lists surrogate keys, separated by spaces.
pub const SURROGATE_KEY: &str = "surrogate-key";
/// The same, separated by commas (or spaces).
pub const CACHE_TAG: &str = "cache-tag";

/// The surrogate keys that a response names in `Surrogate-Key` and `Cache-Tag`; nothing when they are more, or longer,
/// than the index holds.
#[must_use]
pub fn surrogate_keys(headers: &HeaderMap) -> Option<Vec<Arc<str>>> {
    let mut tags: Vec<Arc<str>> = Vec::new();
    let of_spaces = headers.get_all(SURROGATE_KEY).iter().map(|v| (v, false));
    let of_commas = headers.get_all(CACHE_TAG).iter().map(|v| (v, true));
    for (value, has_commas) in of_spaces.chain(of_commas) {
        let text = value.to_str().ok()?;
        let is_border = |c: char| c.is_ascii_whitespace() || (has_commas && c == ',');
        for tag in text.split(is_border).filter(|tag| !tag.is_empty()) {
            if tags.iter().any(|known| **known == *tag) {
                continue;
            }
            if tags.len() == TAGS_MAX || tag.len() > TAG_BYTES_MAX {
                return None;
            }
            tags.push(Arc::from(tag));
        }
    }
    Some(tags)
}

pub(crate) fn within_bounds(tags: &[Arc<str>]) -> bool {
    tags.len() <= TAGS_MAX && tags.iter().all(|tag| tag.len() <= TAG_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, String)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn both_headers_count_and_each_key_once() {
        let tags = surrogate_keys(&headers(&[
            ("surrogate-key", "a b,c".to_owned()),
            ("cache-tag", "b, c ,a".to_owned()),
        ]));
        let tags: Vec<_> = tags.unwrap().iter().map(|tag| tag.to_string()).collect();
        assert_eq!(tags, ["a", "b,c", "b", "c"]);
    }

    #[test]
    fn what_a_purge_could_not_find_is_refused() {
        let many: Vec<String> = (0..=TAGS_MAX).map(|n| format!("k{n}")).collect();
        assert!(surrogate_keys(&headers(&[("surrogate-key", many.join(" "))])).is_none());
        let long = "x".repeat(TAG_BYTES_MAX + 1);
        assert!(surrogate_keys(&headers(&[("cache-tag", long)])).is_none());
    }
}
