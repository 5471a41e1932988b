//! What a request is for, in the one form that routes are chosen by, answers are kept under and origins are asked with: an
//! authority that is no more than one (RFC 9110 section 7.2), and a path in normal form (RFC 3986 section 6.2.2).

use std::borrow::Cow;

use http::header::{COOKIE, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Version};
use mcsp_edge_h1::is_authority;

/// The host that a request names: the target's authority, otherwise the `Host` header.
pub(crate) fn host_of(request: &Parts) -> Option<&str> {
    match request.uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => request.headers.get(HOST)?.to_str().ok(),
    }
}

/// The path by which a route is chosen. The target of `CONNECT` has none.
pub(crate) fn path_of(request: &Parts) -> &str {
    if request.method == Method::CONNECT {
        "/"
    } else {
        request.uri.path()
    }
}

/// Does the request name one host, and nothing beside it? On every protocol by the rules of HTTP/1.1: a slash in a host
/// would make one URI's key of another's parts.
pub(crate) fn has_sound_host(request: &Parts) -> bool {
    let named = request.uri.authority().map(|name| name.as_str().as_bytes());
    if named.is_some_and(|name| !is_authority(name)) {
        return false;
    }
    let is_framed = request.version == Version::HTTP_2;
    let Some(said) = only_host(&request.headers) else {
        return false;
    };
    match (said, named) {
        // Empty where the target has no authority, which HTTP/1.1 allows (RFC 9112 section 3.2).
        (Some(b""), None) => !is_framed,
        (Some(said), None) => is_authority(said),
        // RFC 9113 section 8.3.1: it must not name another. In HTTP/1.1 the target goes before it (RFC 9112 section 3.2.2).
        (Some(said), Some(named)) => !is_framed || said.eq_ignore_ascii_case(named),
        // HTTP/1.0 has none.
        (None, named) => !is_framed || named.is_some(),
    }
}

/// The `Host` field, if there is one; nothing when there are more.
fn only_host(headers: &HeaderMap) -> Option<Option<&[u8]>> {
    let mut lines = headers.get_all(HOST).iter();
    let first = lines.next().map(HeaderValue::as_bytes);
    lines.next().is_none().then_some(first)
}

/// The one line that cookies in several make, as HTTP/2 may send them and HTTP/1.1 origins cannot read them (RFC 9113
/// section 8.2.3). Nothing where there is no more than one.
pub(crate) fn one_cookie_line(headers: &HeaderMap) -> Option<HeaderValue> {
    let lines: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if lines.len() < 2 {
        return None;
    }
    HeaderValue::from_bytes(&lines.join(&b"; "[..])).ok()
}

/// What the node adds to `Via` of a request that came by this version of HTTP (RFC 9110 section 7.6.3).
pub(crate) fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_2 => "2 mcsp-edge",
        Version::HTTP_10 => "1.0 mcsp-edge",
        _ => "1.1 mcsp-edge",
    })
}

/// A host without its port; an IPv6 address keeps its brackets.
pub(crate) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    }
}

/// Adds it in lower case, without the scheme's own port (RFC 9110 section 4.2.3).
pub(crate) fn push_authority(key: &mut String, host: &str, is_tls: bool) {
    let default_port = if is_tls { ":443" } else { ":80" };
    let host = host.strip_suffix(default_port).unwrap_or(host);
    let host = host.strip_suffix(':').unwrap_or(host);
    key.extend(host.chars().map(|c| c.to_ascii_lowercase()));
}

/// Escapes in capitals, and none of characters that need none; no `.` and `..` steps. A `%` that begins no escape is
/// escaped, so that it cannot become one. The normal form is its own.
pub(crate) fn normal_path(path: &str) -> Cow<'_, str> {
    let path = if path.contains('%') {
        Cow::Owned(normal_escapes(path))
    } else {
        Cow::Borrowed(path)
    };
    if path.contains("/.") {
        Cow::Owned(without_dots(&path))
    } else {
        path
    }
}

fn normal_escapes(path: &str) -> String {
    let mut normal = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        let (before, after) = rest.split_at(at);
        normal.push_str(before);
        let digit = |place: usize| {
            let byte = after.as_bytes().get(place)?;
            char::from(*byte).to_digit(16)
        };
        let (Some(high), Some(low)) = (digit(1), digit(2)) else {
            normal.push_str("%25");
            rest = &after[1..];
            continue;
        };
        let byte = u8::try_from(high * 16 + low).unwrap_or(b'%');
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            normal.push(char::from(byte));
        } else {
            normal.push('%');
            normal.extend(after[1..3].chars().map(|c| c.to_ascii_uppercase()));
        }
        rest = &after[3..];
    }
    normal.push_str(rest);
    normal
}

/// RFC 3986 section 5.2.4, for a path from `/`.
fn without_dots(path: &str) -> String {
    let Some(steps) = path.strip_prefix('/') else {
        return path.to_owned();
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut steps = steps.split('/').peekable();
    while let Some(step) = steps.next() {
        let is_last = steps.peek().is_none();
        match step {
            ".." => {
                kept.pop();
            }
            "." => {}
            _ => {
                kept.push(step);
                continue;
            }
        }
        // What a last one leaves is a folder.
        if is_last {
            kept.push("");
        }
    }
    let mut normal = String::with_capacity(path.len());
    for step in &kept {
        normal.push('/');
        normal.push_str(step);
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(version: Version, target: &str, hosts: &[&str]) -> Parts {
        let mut request = http::Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_host_is_a_host_and_nothing_else_on_every_protocol() {
        let is_sound =
            |version, target: &str, hosts: &[&str]| has_sound_host(&asked(version, target, hosts));
        for version in [Version::HTTP_11, Version::HTTP_2] {
            for host in ["a.example", "A:8080", "[::1]:443", "a:"] {
                assert!(is_sound(version, "/x", &[host]), "{host}");
            }
            for host in [
                "victim.example/static",
                "a?b",
                "a#b",
                "user@a",
                "a b",
                "a\\b",
                "[::1",
                "a:b",
                "a:1:2",
                "%zz",
                ":80",
                "\u{e9}",
            ] {
                assert!(!is_sound(version, "/x", &[host]), "{host}");
            }
            assert!(!is_sound(version, "/x", &["a", "a"]));
            assert!(!is_sound(version, "https://me@a/x", &[]));
            assert!(is_sound(version, "https://A/x", &["a"]));
        }
        assert!(
            is_sound(Version::HTTP_11, "http://a/x", &["b"]),
            "the target wins"
        );
        assert!(!is_sound(Version::HTTP_2, "https://a/x", &["b"]));
        assert!(is_sound(Version::HTTP_10, "/x", &[]));
        assert!(is_sound(Version::HTTP_2, "https://a/x", &[]));
        assert!(!is_sound(Version::HTTP_2, "/x", &[]));
        assert!(!is_sound(Version::HTTP_2, "/x", &[""]));
    }

    #[test]
    fn cookies_in_lines_are_one() {
        let line = |cookies: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for cookie in cookies {
                headers.append(COOKIE, HeaderValue::from_static(cookie));
            }
            one_cookie_line(&headers)
        };
        assert_eq!(line(&[]), None);
        assert_eq!(line(&["a=1"]), None);
        assert_eq!(line(&["a=1", "b=2; c=3"]).unwrap(), "a=1; b=2; c=3");
    }

    #[test]
    fn paths_have_one_form() {
        for (path, wanted) in [
            ("/%7ex/%3f", "/~x/%3F"),
            ("/sh%6fp/pay", "/shop/pay"),
            ("/%zz%", "/%25zz%25"),
            ("/a/./b/../c", "/a/c"),
            ("/a/%2e%2E/c", "/c"),
            ("/../..", "/"),
            ("/a/..", "/"),
            ("/a/b/.", "/a/b/"),
            ("/a//b/", "/a//b/"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a%2Fb", "/a%2Fb"),
            ("*", "*"),
        ] {
            assert_eq!(normal_path(path), wanted, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_normal_path_is_its_own(path in "/([ -~]|%2e|%2f|[./%25e]){0,40}") {
            let once = normal_path(&path).into_owned();
            proptest::prop_assert!(once.starts_with('/'));
            proptest::prop_assert_eq!(&normal_path(&once), &once);
            proptest::prop_assert!(!once.split('/').any(|step| step == "." || step == ".."));
        }
    }
}
