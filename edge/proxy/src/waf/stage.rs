//! `waf`: the request's head, and the request as a whole where it has no body and is not long.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{Method, Version};
use mcsp_edge_h1::SentLine;
use mcsp_edge_waf::{Client, MediaHead, RequestLine, SIGNALS};

use super::{Firewall, Inspection};
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::route::Route;
use crate::stage::Flow;

/// The route's name in the firewall's configuration.
const MEDIA: &str = "media";

/// Inspects the head of a request that has a route.
pub(crate) fn run(edge: &Edge, request: &Parts, context: &mut RequestContext) -> Flow {
    let (Some(firewall), Some(route)) = (&edge.firewall, context.route.clone()) else {
        return ControlFlow::Continue(());
    };
    let address = client_address(context);
    let signals = context.visitor.signals.variables().map(|(_, text)| text);
    let has_body = context.has_body || says_body(request);
    if route.is_media() && !has_body && is_cleared(firewall, request, address, &signals) {
        firewall.metrics.cleared.inc();
        return ControlFlow::Continue(());
    }
    let (mut inspection, mut judged) = begin(edge, firewall, &route, request, context);
    // Of a long head the rest is for who can wait.
    if judged.is_continue() && !has_body && !inspection.is_request_long() {
        judged = inspection.request_end_here();
    }
    context.inspection = Some(Box::new(inspection));
    judged
}

/// What rules say of a request whose body takes its time, as if it had none: an origin gets the head of such a request, and may act
/// on that and wait for no more of it. What they say of the whole is known later, and counts. A refusal is the request's.
pub(crate) async fn foresee(edge: &Edge, request: &Parts, context: &mut RequestContext) -> Flow {
    let first = context.inspection.as_ref();
    // Where it was let through, that is told already.
    if !first.is_some_and(|first| first.awaits_request_end() && first.is_inspected()) {
        return ControlFlow::Continue(());
    }
    let (Some(firewall), Some(route)) = (&edge.firewall, context.route.clone()) else {
        return ControlFlow::Continue(());
    };
    let (mut foreseen, mut judged) = begin(edge, firewall, &route, request, context);
    if judged.is_continue() {
        judged = foreseen.request_end().await;
    }
    if judged.is_break() {
        context.inspection = Some(Box::new(foreseen));
    }
    judged
}

/// Begins an inspection with the request's head.
fn begin(
    edge: &Edge,
    firewall: &Arc<Firewall>,
    route: &Route,
    request: &Parts,
    context: &RequestContext,
) -> (Inspection, Flow) {
    let name = match route {
        Route::Media(_) => MEDIA,
        other => other.label(),
    };
    let client = Client {
        address: client_address(context),
        port: context.peer.map_or(0, |peer| peer.port()),
        server: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        server_port: if context.is_tls { 443 } else { 80 },
        country: context
            .place
            .country
            .map(|country| country.as_str().to_owned()),
        signals: context.visitor.signals.variables().map(|(_, text)| text),
        id: context.trace.trace_id_hex(),
        now_ms: edge.clock.now_ms(),
    };
    let mut inspection = Inspection::begin(firewall, name, client);
    let origin_form = request
        .uri
        .path_and_query()
        .map_or("/", http::uri::PathAndQuery::as_str);
    let sent = context.sent_line.clone();
    let sent = sent.or_else(|| request.extensions.get::<SentLine>().cloned());
    let line = match &sent {
        Some(sent) => RequestLine {
            method: request.method.as_str().as_bytes(),
            target: &sent.target,
            protocol: &sent.version,
        },
        None => RequestLine {
            method: request.method.as_str().as_bytes(),
            target: origin_form.as_bytes(),
            protocol: protocol(request.version),
        },
    };
    let fields = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    // HTTP/2 names the host elsewhere (RFC 9113 section 8.3.1).
    let authority = request.uri.authority().map(|authority| authority.as_str());
    let host = authority.filter(|_| !request.headers.contains_key(HOST));
    let host = host.map(|host| (&b"host"[..], host.as_bytes()));
    let judged = inspection.head(line, fields.chain(host));
    (inspection, judged)
}

/// Whether a request for media that has no body is one that its head clears. What is not ordinary about it needs every rule.
fn is_cleared(
    firewall: &Firewall,
    request: &Parts,
    address: IpAddr,
    signals: &[String; SIGNALS.len()],
) -> bool {
    // Without a host, as HTTP/1.0 may be, it is not what players send.
    let is_plain = matches!(request.method, Method::GET | Method::HEAD)
        && request.uri.query().is_none()
        && !request.headers.contains_key(COOKIE)
        && (request.uri.authority().is_some() || request.headers.contains_key(HOST));
    if !is_plain {
        return false;
    }
    let fields = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    let line = (
        request.method.as_str().as_bytes(),
        protocol(request.version),
    );
    let signals = signals.each_ref().map(String::as_bytes);
    MediaHead::of_fields(line, address, signals, fields)
        .is_some_and(|head| firewall.guard.clears_media(MEDIA, &head))
}

fn says_body(request: &Parts) -> bool {
    request.headers.contains_key(CONTENT_LENGTH) || request.headers.contains_key(TRANSFER_ENCODING)
}

fn client_address(context: &RequestContext) -> IpAddr {
    context
        .peer
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip())
}

fn protocol(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_09 => b"HTTP/0.9",
        Version::HTTP_10 => b"HTTP/1.0",
        Version::HTTP_2 => b"HTTP/2.0",
        Version::HTTP_3 => b"HTTP/3.0",
        _ => b"HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connection_tells_has_the_names_that_rules_know() {
        let told = mcsp_edge_fingerprint::Signals::default().variables();
        assert_eq!(told.map(|(name, _)| name), SIGNALS);
    }
}
