//! `normalize`: takes away what only our own nodes may say, refuses what has more than one reading, begins the trace.

use std::ops::ControlFlow;

use http::HeaderMap;
use http::header::{FORWARDED, HOST, HeaderName};
use mcsp_api::ProblemKind;
use mcsp_api::headers::PRIVATE_PREFIX;
use mcsp_telemetry::{TraceContext, trace_from_headers};
use pingora_http::RequestHeader;

use super::Flow;
use crate::answer::Answer;
use crate::context::RequestContext;
use crate::edge::Edge;

/// Where clients might claim to be someone else, beside our own private headers.
const CLAIMS: [HeaderName; 2] = [FORWARDED, HeaderName::from_static("x-real-ip")];
const CLAIM_PREFIX: &str = "x-forwarded-";

pub(super) fn run(edge: &Edge, request: &mut RequestHeader, context: &mut RequestContext) -> Flow {
    let client_trace = trace_from_headers(&request.headers);
    if let Some(theirs) = client_trace {
        // The id is taken over so that a client can find its request; whether it is recorded is ours to say.
        context.trace = TraceContext {
            sampled: context.trace.sampled,
            ..theirs.child(&*edge.entropy)
        };
    }
    strip(request);
    if !is_plain_path(request.uri.path()) {
        let text = "the path has an empty, . or .. step, or an escape that hides one";
        return ControlFlow::Break(Answer::problem(ProblemKind::InvalidRequest, "path", text));
    }
    context.public_base = public_base(edge, request, context.is_tls);
    ControlFlow::Continue(())
}

fn strip(request: &mut RequestHeader) {
    for name in forged(&request.headers) {
        request.remove_header(&name);
    }
}

fn forged(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .keys()
        .filter(|name| {
            let text = name.as_str();
            text.starts_with(PRIVATE_PREFIX)
                || text.starts_with(CLAIM_PREFIX)
                || CLAIMS.contains(name)
        })
        .cloned()
        .collect()
}

/// Is there only one way to read the path? Slashes and dots may not be escaped (RFC 3986 section 6.2.2 would make them
/// equal to plain ones), and no step may be empty, `.` or `..`; the last may be empty.
fn is_plain_path(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    if ["%2e", "%2f", "%5c", "%00", "\\"]
        .iter()
        .any(|hidden| lower.contains(hidden))
    {
        return false;
    }
    let Some(steps) = path.strip_prefix('/') else {
        return false;
    };
    let count = steps.split('/').count();
    steps.split('/').enumerate().all(|(place, step)| {
        step != "." && step != ".." && (!step.is_empty() || place + 1 == count)
    })
}

/// The base that the client used, if it is one of ours; otherwise the PoP's first. A client cannot make services build
/// URLs with a host of its choice.
fn public_base(edge: &Edge, request: &RequestHeader, is_tls: bool) -> String {
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
        let fixture = Fixture::new("lhr1");
        let mut head = request("GET", "/");
        for name in [
            "x-mcsp-identity",
            "X-MCSP-Pop",
            "x-mcsp-anything",
            "x-forwarded-for",
            "x-forwarded-proto",
            "forwarded",
            "x-real-ip",
            "range",
        ] {
            head.insert_header(name.to_owned(), "1").unwrap();
        }
        let mut context = fixture.context();
        assert!(run(&fixture.edge, &mut head, &mut context).is_continue());
        let left: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["range"]);
    }

    #[test]
    fn a_path_with_two_readings_is_refused() {
        for path in [
            "/",
            "/a",
            "/a/b",
            "/a/b/",
            "/a%20b",
            "/..a",
            "/a/...",
            "/watch/c_ng_1",
        ] {
            assert!(is_plain_path(path), "{path}");
        }
        for path in [
            "",
            "a",
            "//",
            "/a//b",
            "/./a",
            "/a/..",
            "/../a",
            "/%2e%2E/a",
            "/a%2Fb",
            "/a\\b",
            "/a%5cb",
            "/a%00",
        ] {
            assert!(!is_plain_path(path), "{path}");
        }
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
        assert!(run(&fixture.edge, &mut head, &mut context).is_continue());
        assert_eq!(
            context.trace.trace_id_hex(),
            "0af7651916cd43dd8448eb211c80319c"
        );
        assert_ne!(context.trace.span_id_hex(), "b7ad6b7169203331");
        assert!(!context.trace.sampled);
    }

    proptest::proptest! {
        #[test]
        fn no_path_panics(path in ".{0,100}") {
            let _ = is_plain_path(&path);
        }
    }
}
