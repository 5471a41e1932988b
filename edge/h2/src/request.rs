//! What makes a request malformed that the `h2` crate lets through (RFC 9113 section 8.1.1).

use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, Method};

/// Why a request was refused before a handler saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// `:path` does not begin with a slash, or has a space or a control character in it (section 8.3.1).
    Path,
    /// `Content-Length` is no number, or is more than one (RFC 9110 section 8.6).
    ContentLength,
    /// More handlers are under way than streams may be.
    TooMany,
}

impl Refusal {
    pub(crate) const ALL: [Self; 3] = [Self::Path, Self::ContentLength, Self::TooMany];

    /// A short name for metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::ContentLength => "content-length",
            Self::TooMany => "too-many",
        }
    }
}

/// Judges a request; whether its host is one is for its handler to say.
pub(crate) fn check(request: &Parts) -> Result<(), Refusal> {
    if !is_target(request) {
        return Err(Refusal::Path);
    }
    if !has_one_length(&request.headers) {
        return Err(Refusal::ContentLength);
    }
    Ok(())
}

fn is_target(request: &Parts) -> bool {
    let Some(target) = request.uri.path_and_query() else {
        return request.method == Method::CONNECT;
    };
    let target = target.as_str();
    let has_form = target.starts_with('/') || (target == "*" && request.method == Method::OPTIONS);
    // Without an early end, so that many bytes are judged at once.
    let has_blank = target
        .bytes()
        .fold(false, |has, byte| has | (byte <= b' ') | (byte == 0x7f));
    has_form && !has_blank
}

fn has_one_length(fields: &HeaderMap) -> bool {
    let mut values = fields.get_all(CONTENT_LENGTH).iter();
    let Some(first) = values.next() else {
        return true;
    };
    let is_number =
        (1..=19).contains(&first.len()) && first.as_bytes().iter().all(u8::is_ascii_digit);
    is_number && values.all(|value| value == first)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn judged(method: &str, uri: &str, lengths: &[&str]) -> Result<(), Refusal> {
        let mut request = Request::builder().method(method).uri(uri);
        for length in lengths {
            request = request.header("content-length", *length);
        }
        check(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn targets_have_one_form() {
        for (method, uri, is_good) in [
            ("GET", "https://a.example/b?c", true),
            ("GET", "/b", true),
            ("OPTIONS", "*", true),
            ("GET", "*", false),
            ("CONNECT", "a.example:443", true),
            ("GET", "a.example:443", false),
        ] {
            assert_eq!(judged(method, uri, &[]).is_ok(), is_good, "{method} {uri}");
        }
    }

    #[test]
    fn lengths_are_one_number() {
        for (lengths, is_good) in [
            (&["0"][..], true),
            (&["12", "12"], true),
            (&["12", "13"], false),
            (&["12, 12"], false),
            (&["+1"], false),
            (&[""], false),
            (&["99999999999999999999"], false),
        ] {
            assert_eq!(judged("POST", "/", lengths).is_ok(), is_good, "{lengths:?}");
        }
    }
}
