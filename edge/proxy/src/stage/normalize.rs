//! `normalize`: refuses a host that is none, begins the trace, and takes what only our own nodes may say out of what goes on to origins.

use std::ops::ControlFlow;

use http::header::{FORWARDED, HOST, HeaderName};
use http::request::Parts;
use mcsp_api::ProblemKind;
use mcsp_api::headers::PRIVATE_PREFIX;
use mcsp_telemetry::{TraceContext, trace_from_headers};
use pingora_http::RequestHeader;

use super::Flow;
use crate::answer::Answer;
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::route::Route;
use crate::serve::{is_underscored, takes_underscored};
use crate::target::has_sound_host;

/// Where clients might claim to be someone else, beside our own private headers.
const CLAIMS: [HeaderName; 2] = [FORWARDED, HeaderName::from_static("x-real-ip")];
const CLAIM_PREFIX: &str = "x-forwarded-";

pub(super) fn run(edge: &Edge, request: &Parts, context: &mut RequestContext) -> Flow {
    if !has_sound_host(request) {
        let text = "the request does not name one host, and nothing beside it";
        return ControlFlow::Break(Answer::problem(ProblemKind::InvalidRequest, "host", text));
    }
    refuse_loop(edge, request, context)?;
    let client_trace = trace_from_headers(&request.headers);
    if let Some(theirs) = client_trace {
        // The id is taken over so that a client can find its request; whether it is recorded is ours to say.
        context.trace = TraceContext {
            sampled: context.trace.sampled,
            ..theirs.child(&*edge.entropy)
        };
    }
    ControlFlow::Continue(())
}

/// Refuses a request that has been through this node before: it would go round for as long as it found ways on.
pub(crate) fn refuse_loop(edge: &Edge, request: &Parts, _context: &mut RequestContext) -> Flow {
    if edge.cdn_loop.has_passed(&request.headers) {
        return ControlFlow::Break(Answer::loop_detected());
    }
    ControlFlow::Continue(())
}

/// Takes away what only our own nodes may say.
pub(crate) fn strip(request: &mut RequestHeader) {
    let forged: Vec<HeaderName> = request
        .headers
        .keys()
        .filter(|name| is_forged(name))
        .cloned()
        .collect();
    for name in forged {
        request.remove_header(&name);
    }
}

/// Takes away what the route's origin must not see: see [`crate::serve::takes_underscored`].
pub(crate) fn strip_untold(route: &Route, request: &mut RequestHeader) {
    if takes_underscored(route) {
        return;
    }
    let underscored: Vec<HeaderName> = request
        .headers
        .keys()
        .filter(|name| is_underscored(name))
        .cloned()
        .collect();
    for name in underscored {
        request.remove_header(&name);
    }
}

/// Is this a header by which a client would claim to be someone else, or one of our nodes? With `_` for `-` too: many origins
/// read both as one name (RFC 3875 section 4.1.18), where a route lets such names through.
pub(crate) fn is_forged(name: &HeaderName) -> bool {
    let text = name.as_str().as_bytes();
    begins_as(text, PRIVATE_PREFIX)
        || begins_as(text, CLAIM_PREFIX)
        || CLAIMS
            .iter()
            .any(|claim| claim.as_str().len() == text.len() && begins_as(text, claim.as_str()))
}

/// Names are in lower case.
fn begins_as(name: &[u8], prefix: &str) -> bool {
    let is_same = |(byte, wanted): (&u8, u8)| *byte == wanted || *byte == b'_' && wanted == b'-';
    name.len() >= prefix.len() && name.iter().zip(prefix.bytes()).all(is_same)
}

/// The base that the client used, if it is one of ours; otherwise the PoP's first. A client cannot make services build
/// URLs with a host of its choice.
pub(crate) fn public_base(edge: &Edge, request: &Parts, is_tls: bool) -> String {
    let scheme = if is_tls { "https" } else { "http" };
    let host = request
        .uri
        .authority()
        .map(|authority| authority.as_str())
        .or_else(|| request.headers.get(HOST)?.to_str().ok());
    let asked = host.map(|host| format!("{scheme}://{}", host.to_ascii_lowercase()));
    asked
        .filter(|asked| edge.public_bases.contains(asked))
        .or_else(|| edge.public_bases.first().cloned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::testing::{Fixture, request};

    #[test]
    fn forged_headers_are_taken_away_and_others_stay() {
        let mut head = request("GET", "/");
        for name in [
            "x-mcsp-identity",
            "X-MCSP-Pop",
            "x-mcsp-anything",
            "x-forwarded-for",
            "x-forwarded-proto",
            "forwarded",
            "x-real-ip",
            "x_mcsp_identity",
            "X-MCSP_Identity",
            "x_mcsp-pop",
            "X_Forwarded_For",
            "x-forwarded_host",
            "X_Real_IP",
            "range",
            "x_real_ip_2",
            "x-real",
            "forwarded_by",
        ] {
            head.insert_header(name.to_owned(), "1").unwrap();
        }
        strip(&mut head);
        let mut left: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["forwarded_by", "range", "x-real", "x_real_ip_2"]);
    }

    #[test]
    fn only_our_own_bases_are_passed_on() {
        let fixture = Fixture::new("lhr1");
        let cases = [
            ("lhr1.example", true, "https://lhr1.example"),
            ("LHR1.example", true, "https://lhr1.example"),
            ("evil.example", true, "https://lhr1.example"),
            ("127.0.0.1:8080", false, "http://127.0.0.1:8080"),
            // Ours by https only.
            ("lhr1.example", false, "https://lhr1.example"),
        ];
        for (host, is_tls, wanted) in cases {
            let mut head = request("GET", "/");
            head.insert_header("host", host).unwrap();
            assert_eq!(
                public_base(&fixture.edge, &head, is_tls),
                wanted,
                "{host} {is_tls}"
            );
        }
    }

    #[test]
    fn a_clients_trace_id_is_kept_and_its_sampling_is_not() {
        let fixture = Fixture::new("lhr1");
        let mut head = request("GET", "/");
        let theirs = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        head.insert_header("traceparent", theirs).unwrap();
        let mut context = fixture.context();
        context.trace.sampled = false;
        assert!(run(&fixture.edge, &head, &mut context).is_continue());
        assert_eq!(
            context.trace.trace_id_hex(),
            "0af7651916cd43dd8448eb211c80319c"
        );
        assert_ne!(context.trace.span_id_hex(), "b7ad6b7169203331");
        assert!(!context.trace.sampled);
    }
}
