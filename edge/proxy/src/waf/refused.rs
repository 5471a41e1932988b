//! Heads that are no request: refused on the wire whatever rules say, and shown to them all the same, so that an event tells who
//! tries what. Of requests whose streams HTTP/2 has reset there is nothing that rules could be shown: their event says why.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::StatusCode;
use http::header::HOST;
use http::request::Parts;
use mcsp_edge_waf::{AuditEvent, Client, RequestLine};
use mcsp_telemetry::TraceContext;

use super::{Firewall, Inspection};
use crate::edge::Edge;
use crate::visitor::Visitor;

/// The route's name in the firewall's configuration: no head that is refused has one of its own.
const REFUSED: &str = "refused";
/// Longest method of what may be a request, bytes.
const METHOD_BYTES_MAX: usize = 32;

/// A head as a lenient reader would take it.
#[derive(Debug, PartialEq, Eq)]
struct Head<'h> {
    method: &'h [u8],
    target: &'h [u8],
    protocol: &'h [u8],
    fields: Vec<(&'h [u8], &'h [u8])>,
}

impl<'h> Head<'h> {
    /// Nothing for what was not meant as a request, such as a TLS hello.
    fn read(bytes: &'h [u8]) -> Option<Self> {
        let mut lines = bytes
            .split(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .skip_while(|line| line.is_empty());
        let line = lines.next()?;
        let is_space = |byte: &u8| *byte == b' ';
        let method_end = line.iter().position(is_space)?;
        let (method, rest) = (&line[..method_end], &line[method_end + 1..]);
        let is_word = |byte: &u8| byte.is_ascii_graphic();
        if method.is_empty() || method.len() > METHOD_BYTES_MAX || !method.iter().all(is_word) {
            return None;
        }
        let target_end = rest.iter().rposition(is_space).unwrap_or(rest.len());
        let fields = lines.take_while(|line| !line.is_empty()).map(|line| {
            let colon = line.iter().position(|byte| *byte == b':');
            let (name, value) = line.split_at(colon.unwrap_or(line.len()));
            (name, value.get(1..).unwrap_or_default().trim_ascii())
        });
        Some(Self {
            method,
            target: &rest[..target_end],
            protocol: rest.get(target_end + 1..).unwrap_or_default(),
            fields: fields.collect(),
        })
    }
}

/// Shows rules a head that was refused. What they say changes nothing but the event.
pub(crate) fn see(
    edge: &Edge,
    firewall: &Arc<Firewall>,
    bytes: &[u8],
    peer: Option<SocketAddr>,
    is_tls: bool,
    visitor: &Visitor,
) {
    let Some(head) = Head::read(bytes) else {
        return;
    };
    let client = client(edge, peer, is_tls, visitor);
    let mut inspection = Inspection::begin(firewall, REFUSED, client);
    let line = RequestLine {
        method: head.method,
        target: head.target,
        protocol: head.protocol,
    };
    // The answer does not depend on it.
    let judged = inspection.head(line, head.fields);
    inspection.see_out(judged, StatusCode::BAD_REQUEST.as_u16());
}

/// Shows rules a request of HTTP/2 that is answered 400. What they say changes nothing but the event.
pub(crate) fn see_request(
    edge: &Edge,
    firewall: &Arc<Firewall>,
    request: &Parts,
    peer: Option<SocketAddr>,
    is_tls: bool,
    visitor: &Visitor,
) {
    let client = client(edge, peer, is_tls, visitor);
    let mut inspection = Inspection::begin(firewall, REFUSED, client);
    let authority = request.uri.authority();
    let host = authority.filter(|_| !request.headers.contains_key(HOST));
    let host = host.map(|host| (&b"host"[..], host.as_str().as_bytes()));
    let path = request.uri.path_and_query();
    let target = path.map(http::uri::PathAndQuery::as_str);
    let line = RequestLine {
        method: request.method.as_str().as_bytes(),
        target: target.unwrap_or_default().as_bytes(),
        protocol: b"HTTP/2.0",
    };
    let fields = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    let judged = inspection.head(line, fields.chain(host));
    inspection.see_out(judged, StatusCode::BAD_REQUEST.as_u16());
}

/// Tells that a stream was reset, and why; no rule has seen anything of it.
pub(crate) fn tell_malformed(
    edge: &Edge,
    firewall: &Arc<Firewall>,
    why: &'static str,
    peer: Option<SocketAddr>,
) {
    let trace = TraceContext::root(&*edge.entropy, edge.config.trace_sample_ratio);
    firewall.count(REFUSED, "malformed");
    let client = peer.map_or_else(String::new, |peer| peer.ip().to_string());
    let event = AuditEvent::bare(trace.trace_id_hex(), edge.clock.now_ms(), client);
    firewall.audit.write(AuditEvent {
        body_error: Some(format!("malformed HTTP/2 request: {why}")),
        ..event
    });
}

fn client(edge: &Edge, peer: Option<SocketAddr>, is_tls: bool, visitor: &Visitor) -> Client {
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let trace = TraceContext::root(&*edge.entropy, edge.config.trace_sample_ratio);
    Client {
        address: peer.map_or(unknown, |peer| peer.ip()),
        port: peer.map_or(0, |peer| peer.port()),
        server: unknown,
        server_port: if is_tls { 443 } else { 80 },
        country: None,
        signals: visitor.signals.variables().map(|(_, text)| text),
        id: trace.trace_id_hex(),
        now_ms: edge.clock.now_ms(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_as_a_request_is_read_as_a_lenient_server_would() {
        let head = Head::read(b"\r\nGET /a b HTTP/1.1\nA : 1\r\nno colon\r\n:x\r\n\r\nB: 2");
        let fields: [(&[u8], &[u8]); 3] = [(b"A ", b"1"), (b"no colon", b""), (b"", b"x")];
        let wanted = Head {
            method: b"GET",
            target: b"/a b",
            protocol: b"HTTP/1.1",
            fields: fields.to_vec(),
        };
        assert_eq!(head, Some(wanted));
        let old = Head::read(b"GET /").expect("HTTP/0.9");
        assert_eq!((old.target, old.protocol), (&b"/"[..], &b""[..]));
        for bytes in [
            &b""[..],
            b"\r\n",
            b"GET",
            b"\x16\x03\x01 a b\r\n",
            b" / HTTP/1.1",
        ] {
            assert_eq!(Head::read(bytes), None, "{bytes:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Head::read(&bytes);
        }
    }
}
