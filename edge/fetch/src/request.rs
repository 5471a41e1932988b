//! What an upstream is asked.

use std::net::SocketAddr;

use bytes::{BufMut, BytesMut};
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method};

/// Of one hop, or of a body that these requests do not have.
const NOT_SENT: [HeaderName; 11] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("proxy-authorization"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    CONTENT_LENGTH,
    EXPECT,
];

/// A request without a body.
#[derive(Debug, Clone)]
pub struct FetchRequest {
    /// `GET` or `HEAD`; other methods are not sent again once they may have been received.
    pub method: Method,
    /// In origin form.
    pub path: PathAndQuery,
    /// End-to-end fields: the caller has removed those that `Connection` names. Without `Host`, the pool's name is sent;
    /// fields of one hop are not.
    pub headers: HeaderMap,
    /// Addresses to leave out while there are others: the one that broke off a body that is now taken up elsewhere.
    pub avoid: Vec<SocketAddr>,
}

impl FetchRequest {
    /// A request for `path` with no fields yet.
    #[must_use]
    pub fn new(method: Method, path: PathAndQuery) -> Self {
        Self {
            method,
            path,
            headers: HeaderMap::new(),
            avoid: Vec::new(),
        }
    }

    /// The fields that are sent, without `Host`.
    pub(crate) fn sent_headers(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.headers
            .iter()
            .filter(|(name, _)| **name != HOST && !NOT_SENT.contains(name))
    }

    /// As HTTP/1.1 has it (RFC 9112 section 3), with `host` where the request names none.
    pub(crate) fn to_wire(&self, host: &str) -> BytesMut {
        let mut wire = BytesMut::with_capacity(512);
        wire.put_slice(self.method.as_str().as_bytes());
        wire.put_u8(b' ');
        wire.put_slice(self.path.as_str().as_bytes());
        wire.put_slice(b" HTTP/1.1\r\nhost: ");
        let host = self
            .headers
            .get(HOST)
            .map_or(host.as_bytes(), HeaderValue::as_bytes);
        wire.put_slice(host);
        wire.put_slice(b"\r\n");
        for (name, value) in self.sent_headers() {
            wire.put_slice(name.as_str().as_bytes());
            wire.put_slice(b": ");
            wire.put_slice(value.as_bytes());
            wire.put_slice(b"\r\n");
        }
        wire.put_slice(b"\r\n");
        wire
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_one_hop_are_not_sent_and_host_is_always() {
        let mut request = FetchRequest::new(Method::GET, PathAndQuery::from_static("/a?b=1"));
        for (name, value) in [
            ("connection", "keep-alive"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("content-length", "7"),
            ("range", "bytes=0-1"),
        ] {
            request
                .headers
                .insert(name, HeaderValue::from_static(value));
        }
        assert_eq!(
            request.to_wire("origin.test"),
            "GET /a?b=1 HTTP/1.1\r\nhost: origin.test\r\nrange: bytes=0-1\r\n\r\n"
        );
        request
            .headers
            .insert(HOST, HeaderValue::from_static("site.test"));
        let wire = request.to_wire("origin.test");
        assert!(wire.starts_with(b"GET /a?b=1 HTTP/1.1\r\nhost: site.test\r\nrange"));
    }
}
