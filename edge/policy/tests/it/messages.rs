//! RFC 9110 section 7.6.1; RFC 9111 sections 3.1 and 4.4.

use http::{HeaderName, Method, StatusCode};
use mcsp_edge_policy::hop_by_hop::{strip_around_framing, strip_for_forwarding, strip_for_storing};
use mcsp_edge_policy::invalidation::{invalidated, is_unsafe};

use crate::headers;

#[test]
fn what_belongs_to_one_connection() {
    let all = [
        "Connection: a, Content-Length, close",
        "A: 1",
        "Content-Length: 3",
        "Keep-Alive: x",
        "Proxy-Connection: x",
        "TE: x",
        "Trailer: x",
        "Transfer-Encoding: x",
        "Upgrade: x",
        "Proxy-Authenticate: x",
        "Proxy-Authentication-Info: x",
        "Proxy-Authorization: x",
        "Set-Cookie: a=b",
        "C: 3",
    ];
    let mut forwarded = headers(&all);
    strip_for_forwarding(&mut forwarded);
    let of_a_proxy = [
        "Proxy-Authenticate: x",
        "Proxy-Authentication-Info: x",
        "Proxy-Authorization: x",
    ];
    let kept = ["Content-Length: 3", "Set-Cookie: a=b", "C: 3"];
    assert_eq!(
        forwarded,
        headers(&[&of_a_proxy[..], &kept[..]].concat()),
        "RFC 9110 7.6.1"
    );

    let mut stored = headers(&all);
    strip_for_storing(&mut stored, &[]);
    assert_eq!(stored, headers(&kept), "3.1");
    let mut stored = headers(&all);
    strip_for_storing(
        &mut stored,
        &[http::header::SET_COOKIE, HeaderName::from_static("c")],
    );
    assert_eq!(stored, headers(&kept[..1]), "5.2.2.4, 5.2.2.7");
}

#[test]
fn what_belongs_to_one_connection_where_another_layer_frames() {
    let all = [
        "Connection: a, Transfer-Encoding, Host, upgrade",
        "A: 1",
        "Host: h",
        "Keep-Alive: x",
        "TE: x",
        "Transfer-Encoding: chunked",
        "Upgrade: websocket",
        "B: 2",
    ];
    let kept = ["Host: h", "Transfer-Encoding: chunked", "B: 2"];
    let mut forwarded = headers(&all);
    strip_around_framing(&mut forwarded, false);
    assert_eq!(forwarded, headers(&kept));
    let mut upgraded = headers(&all);
    strip_around_framing(&mut upgraded, true);
    let upgrade = ["Connection: upgrade", "Upgrade: websocket"];
    assert_eq!(upgraded, headers(&[&kept[..], &upgrade[..]].concat()));
}

const TARGET: &str = "https://example.org/a/b?c=d";

#[test]
fn what_an_unsafe_request_makes_invalid() {
    let rows: &[(&str, &[&str], &[&str])] = &[
        ("the target", &[], &[TARGET]),
        (
            "Location",
            &["Location: /x"],
            &[TARGET, "https://example.org/x"],
        ),
        (
            "Content-Location",
            &["Content-Location: x?y"],
            &[TARGET, "https://example.org/a/x?y"],
        ),
        (
            "both",
            &["Location: 1", "Content-Location: 2#f"],
            &[TARGET, "https://example.org/a/1", "https://example.org/a/2"],
        ),
        (
            "absolute",
            &["Location: HTTPS://EXAMPLE.org:443/x"],
            &[TARGET, "https://example.org/x"],
        ),
        (
            "another host",
            &["Location: https://example.com/x"],
            &[TARGET],
        ),
        (
            "another scheme",
            &["Location: http://example.org/x"],
            &[TARGET],
        ),
        (
            "another port",
            &["Location: https://example.org:8443/x"],
            &[TARGET],
        ),
        (
            "a protocol-relative reference",
            &["Location: //example.com/x"],
            &[TARGET],
        ),
        ("no reference", &["Location: http://["], &[TARGET]),
        ("the target again", &["Content-Location: b?c=d"], &[TARGET]),
    ];
    for (rule, lines, expected) in rows {
        let found = invalidated(&Method::POST, StatusCode::CREATED, TARGET, &headers(lines));
        assert_eq!(found, *expected, "4.4: {rule}");
    }
}

#[test]
fn which_exchanges_invalidate() {
    let search = Method::from_bytes(b"M-SEARCH").unwrap();
    let rows = [
        (Method::GET, 200, false),
        (Method::HEAD, 200, false),
        (Method::OPTIONS, 200, false),
        (Method::TRACE, 200, false),
        (Method::POST, 200, true),
        (Method::PUT, 204, true),
        (Method::DELETE, 303, true),
        (Method::PATCH, 200, true),
        (search, 200, true),
        (Method::POST, 404, false),
        (Method::POST, 500, false),
    ];
    for (method, status, expected) in rows {
        let status = StatusCode::from_u16(status).unwrap();
        let found = invalidated(&method, status, TARGET, &headers(&[]));
        assert_eq!(!found.is_empty(), expected, "4.4: {method} {status}");
        assert!(!expected || is_unsafe(&method));
    }
    assert_eq!(
        invalidated(&Method::PUT, StatusCode::OK, "not a URI", &headers(&[])),
        ["not a URI"]
    );
}

#[test]
fn what_a_connection_takes_out_of_a_message() {
    use mcsp_edge_policy::hop_by_hop::connection_takes_fields;
    let rows: &[(&[&str], bool)] = &[
        (&["Connection: close"], false),
        (
            &["Connection: keep-alive, TE", "Keep-Alive: x", "TE: x"],
            false,
        ),
        (&["Connection: Origin"], false),
        (&["Connection: Origin", "Origin: a"], true),
        (&["Connection: host", "Host: a"], false),
        (&["Origin: a"], false),
    ];
    for (lines, expected) in rows {
        assert_eq!(
            connection_takes_fields(&headers(lines)),
            *expected,
            "{lines:?}"
        );
    }
}
