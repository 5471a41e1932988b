//! What a media token is held against.

use std::net::IpAddr;

use http::HeaderMap;
use mcsp_api::media_path::{MEDIA_PREFIX, MediaPath};

/// A request for a part of an item, as far as tokens may speak of it. What is not known is `None`, and a token that
/// demands something of it is refused.
#[derive(Debug, Clone, Copy)]
pub struct MediaRequest<'a> {
    /// What is asked for, the token aside.
    pub path: &'a MediaPath<'a>,
    /// The method, as it was sent.
    pub method: &'a str,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Host and port, as the client named them.
    pub authority: &'a str,
    /// The query, a token in it aside.
    pub query: Option<&'a str>,
    /// Who asks.
    pub client: Option<IpAddr>,
    /// Where the client is, ISO 3166-1 alpha-2.
    pub country: Option<&'a str>,
    /// The client's autonomous system.
    pub asn: Option<u32>,
    /// What TLS agreed on: `h2`, `http/1.1`, `h3`.
    pub alpn: Option<&'a [u8]>,
    /// The client's TLS fingerprint.
    pub ja4: Option<&'a str>,
    /// The request's headers.
    pub headers: Option<&'a HeaderMap>,
}

/// A request's address in the parts that tokens name, normalised (RFC 3986 sections 6.2.2 and 6.2.3): scheme and host in
/// lower case, no default port. The path needs nothing: the grammar of media paths knows no escapes and no `..`.
#[derive(Debug)]
pub(super) struct RequestUri {
    pub(super) scheme: String,
    pub(super) host: String,
    pub(super) port: String,
    pub(super) path: String,
    pub(super) query: String,
}

impl MediaRequest<'_> {
    /// The one value of a header; `None` if there are several or it is no text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers?.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    }

    /// The address without its token.
    pub(super) fn uri(&self) -> RequestUri {
        let scheme = self.scheme.to_ascii_lowercase();
        let authority = self.authority.to_ascii_lowercase();
        let is_port = |port: &str| port.bytes().all(|b| b.is_ascii_digit());
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if is_port(port) => (host, port),
            _ => (authority.as_str(), ""),
        };
        let is_default = matches!((scheme.as_str(), port), ("https", "443") | ("http", "80"));
        RequestUri {
            host: host.to_owned(),
            port: if is_default { "" } else { port }.to_owned(),
            scheme,
            path: format!("{MEDIA_PREFIX}{}", self.path.object_name()),
            query: self.query.unwrap_or_default().to_owned(),
        }
    }
}

impl RequestUri {
    /// The whole address.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}://{}", self.scheme, self.host);
        for (mark, part) in [(":", &self.port), ("", &self.path), ("?", &self.query)] {
            if !part.is_empty() {
                text.push_str(mark);
                text.push_str(part);
            }
        }
        text
    }

    /// The folder, the last step of the path, and that step without and with nothing but its extension.
    pub(super) fn steps(&self) -> (&str, &str, &str, &str) {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        match name.rfind('.').filter(|at| *at > 0) {
            Some(at) => (folder, name, &name[..at], &name[at..]),
            None => (folder, name, name, ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_one_form() {
        let path = MediaPath::parse_object_name("ng/c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc/v360/12.m4s")
            .expect("a path");
        let of = |scheme, authority, query| {
            let request = MediaRequest {
                path: &path,
                method: "GET",
                scheme,
                authority,
                query,
                client: None,
                country: None,
                asn: None,
                alpn: None,
                ja4: None,
                headers: None,
            };
            request.uri()
        };
        let plain = "https://los1.example/media/ng/c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc/v360/12.m4s";
        for (scheme, authority) in [
            ("https", "los1.example"),
            ("HTTPS", "LOS1.example:443"),
            ("https", "los1.example:"),
        ] {
            assert_eq!(of(scheme, authority, None).text(), plain, "{authority}");
        }
        let other = of("http", "[2001:db8::1]:8443", Some("a=b"));
        assert_eq!((&*other.host, &*other.port), ("[2001:db8::1]", "8443"));
        assert!(other.text().ends_with("/v360/12.m4s?a=b"));
        assert_eq!(of("https", "[2001:db8::1]", None).host, "[2001:db8::1]");
        let (folder, name, stem, extension) = other.steps();
        assert!(folder.ends_with("/v360"));
        assert_eq!((name, stem, extension), ("12.m4s", "12", ".m4s"));
    }
}
