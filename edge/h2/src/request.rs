//! From a block's fields to a request, and what makes one malformed (RFC 9113 section 8.1.1).

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TE, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use mcsp_edge_h2_wire::hpack::{Field, Name, Pseudo, Value};

/// Room for the fields that most requests have, without growing.
const FIELDS: usize = 14;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Trailers,
}

/// The fields of a block, as they come.
#[derive(Debug)]
pub(crate) struct Gathering {
    kind: Kind,
    method: Option<Bytes>,
    scheme: Option<Bytes>,
    authority: Option<Bytes>,
    path: Option<Bytes>,
    fields: HeaderMap,
    has_fields: bool,
    is_too_many: bool,
    malformed: Option<&'static str>,
}

impl Gathering {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            method: None,
            scheme: None,
            authority: None,
            path: None,
            fields: match kind {
                Kind::Request => HeaderMap::with_capacity(FIELDS),
                Kind::Trailers => HeaderMap::new(),
            },
            has_fields: false,
            is_too_many: false,
            malformed: None,
        }
    }

    /// The first thing that is wrong with it.
    pub(crate) const fn malformed(&self) -> Option<&'static str> {
        self.malformed
    }

    /// Whether there are more fields than a map takes.
    pub(crate) const fn is_too_many(&self) -> bool {
        self.is_too_many
    }

    /// The next field. After a fault nothing more is kept.
    pub(crate) fn take(&mut self, field: Field) {
        if self.malformed.is_some() {
            return;
        }
        let taken = match (field.name, field.value) {
            (Name::Pseudo(pseudo), Value::Pseudo(value)) => self.pseudo(pseudo, value),
            (Name::Plain(name), Value::Plain(value)) => self.plain(name, value),
            _ => Err("a field that none may be"),
        };
        self.malformed = taken.err();
    }

    /// Section 8.3.
    fn pseudo(&mut self, pseudo: Pseudo, value: Bytes) -> Result<(), &'static str> {
        if self.has_fields || self.kind == Kind::Trailers {
            return Err("a pseudo field after others");
        }
        let place = match pseudo {
            Pseudo::Method => &mut self.method,
            Pseudo::Scheme => &mut self.scheme,
            Pseudo::Authority => &mut self.authority,
            Pseudo::Path => &mut self.path,
            Pseudo::Status => return Err(":status in a request"),
            // RFC 8441, which our settings do not offer.
            Pseudo::Protocol => return Err(":protocol that was not offered"),
        };
        match place.replace(value) {
            None => Ok(()),
            Some(_) => Err("a pseudo field twice"),
        }
    }

    /// Section 8.2.2.
    fn plain(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), &'static str> {
        self.has_fields = true;
        if name == TE {
            if !value.as_bytes().eq_ignore_ascii_case(b"trailers") {
                return Err("TE that is not trailers");
            }
        } else if name == CONNECTION
            || name == TRANSFER_ENCODING
            || name == UPGRADE
            || name == KEEP_ALIVE
            || name == PROXY_CONNECTION
        {
            return Err("a field of HTTP/1.1 connections");
        }
        if self.kind == Kind::Request {
            self.is_too_many |= self.fields.try_append(name, value).is_err();
        }
        Ok(())
    }

    /// The request (section 8.3.1).
    ///
    /// # Errors
    /// Why it is malformed.
    pub(crate) fn into_request(self) -> Result<Parts, &'static str> {
        if let Some(why) = self.malformed {
            return Err(why);
        }
        let method = self.method.ok_or("no :method")?;
        let method = Method::from_bytes(&method).map_err(|_| ":method that is none")?;
        let mut parts = http::uri::Parts::default();
        if let Some(authority) = self.authority {
            let authority = Authority::from_maybe_shared(authority);
            parts.authority = Some(authority.map_err(|_| ":authority that is none")?);
        }
        if method == Method::CONNECT {
            // Section 8.5.
            if self.scheme.is_some() || self.path.is_some() || parts.authority.is_none() {
                return Err("CONNECT with more or less than :authority");
            }
        } else {
            let scheme = self.scheme.ok_or("no :scheme")?;
            let scheme = Scheme::try_from(scheme.as_ref()).map_err(|_| ":scheme that is none")?;
            // Without an authority, there is no URI that has one.
            parts.scheme = parts.authority.is_some().then_some(scheme);
            let path = self
                .path
                .filter(|path| !path.is_empty())
                .ok_or("no :path")?;
            // A fragment is no part of a target, and would be dropped in silence.
            if path.contains(&b'#') {
                return Err("a fragment in :path");
            }
            let path = PathAndQuery::from_maybe_shared(path);
            parts.path_and_query = Some(path.map_err(|_| ":path that is none")?);
        }
        let (mut request, ()) = http::Request::new(()).into_parts();
        request.method = method;
        request.uri = Uri::from_parts(parts).map_err(|_| "a target that is none")?;
        request.version = Version::HTTP_2;
        request.headers = self.fields;
        Ok(request)
    }
}

/// Why a request was refused before a handler saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Malformed (section 8.1.1): its stream was reset.
    Malformed,
    /// `:path` does not begin with a slash, or has a space or a control character in it (section 8.3.1).
    Path,
    /// `Content-Length` is no number, or is more than one (RFC 9110 section 8.6).
    ContentLength,
    /// More handlers are under way than streams may be.
    TooMany,
}

impl Refusal {
    pub(crate) const ALL: [Self; 4] = [
        Self::Malformed,
        Self::Path,
        Self::ContentLength,
        Self::TooMany,
    ];

    /// A short name for metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
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
