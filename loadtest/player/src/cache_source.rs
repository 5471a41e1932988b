//! Where an answer's bytes came from, by `Cache-Status` (RFC 9211).

use http::HeaderMap;
use mcsp_loadtest_measure::CacheSource;

/// The last member is of the cache nearest to the user (section 2). One that has no word about its disk is taken for memory.
pub(crate) fn of(headers: &HeaderMap) -> CacheSource {
    let mut members: Vec<String> = Vec::new();
    for value in headers.get_all("cache-status") {
        let Ok(text) = value.to_str() else {
            continue;
        };
        members.extend(split(text, ','));
    }
    let Some(nearest) = members.pop() else {
        return CacheSource::Unknown;
    };
    let words = split(&nearest, ';');
    let has = |name: &str| words.iter().skip(1).any(|word| word == name);
    // Who waited for another's fill caused nothing at the origin either.
    if has("hit") || has("collapsed") {
        let is_disk = words.iter().any(|word| word.ends_with("detail=disk"));
        return if is_disk {
            CacheSource::Disk
        } else {
            CacheSource::Memory
        };
    }
    let is_hit = |member: &String| split(member, ';').iter().skip(1).any(|word| word == "hit");
    if members.iter().any(is_hit) {
        return CacheSource::Shield;
    }
    CacheSource::Origin
}

/// Splits at `at` outside of strings (RFC 8941 section 3.3.3).
fn split(text: &str, at: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut is_string, mut is_escaped) = (false, false);
    for character in text.chars() {
        if character == at && !is_string {
            parts.push(String::new());
            continue;
        }
        if character == '"' && !is_escaped {
            is_string = !is_string;
        }
        is_escaped = character == '\\' && is_string && !is_escaped;
        if let Some(part) = parts.last_mut() {
            part.push(character);
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_cache_comes_last_and_strings_hide_what_they_hold() {
        for (value, expected) in [
            ("lhr1; hit; ttl=20", CacheSource::Memory),
            ("lhr1; hit; detail=disk", CacheSource::Disk),
            ("lhr1; fwd=uri-miss; collapsed", CacheSource::Memory),
            ("lhr1; fwd=uri-miss; stored", CacheSource::Origin),
            ("lhr0; hit, lhr1; fwd=uri-miss", CacheSource::Shield),
            ("lhr0; fwd=miss, lhr1; fwd=uri-miss", CacheSource::Origin),
            (r#""a, b; hit"; fwd=miss"#, CacheSource::Origin),
            (r#""a\"; hit, x"; fwd=miss"#, CacheSource::Origin),
        ] {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static("cache-status"),
                value.parse().expect("a value"),
            )]);
            assert_eq!(of(&headers), expected, "{value}");
        }
        assert_eq!(of(&HeaderMap::new()), CacheSource::Unknown);
    }
}
