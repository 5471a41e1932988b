//! What is refused: a row for each way in which a head can be wrong, and its bounds.

use mcsp_edge_h1::{CloseReason, Limits, Refusal};

use crate::site::{talk, talk_in_pieces};

/// Each with a second request behind it, which must never be served.
const REFUSED: &[(Refusal, &str)] = &[
    (Refusal::RequestLine, "GET /\r\nHost: a\r\n\r\n"),
    (Refusal::RequestLine, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (Refusal::RequestLine, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    (Refusal::RequestLine, "GET / x HTTP/1.1\r\nHost: a\r\n\r\n"),
    (Refusal::RequestLine, "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    (Refusal::RequestLine, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (Refusal::RequestLine, "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (Refusal::RequestLine, "GET / http/1.1\r\nHost: a\r\n\r\n"),
    (Refusal::RequestLine, "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    (Refusal::RequestLine, "GET / HTTP/1\r\nHost: a\r\n\r\n"),
    (Refusal::RequestLine, "GET / \r\nHost: a\r\n\r\n"),
    (
        Refusal::RequestLine,
        "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (Refusal::RequestLine, "\u{16}\u{3}\u{1}\u{2}"),
    (Refusal::Target, "GET x HTTP/1.1\r\nHost: a\r\n\r\n"),
    (Refusal::Target, "GET  HTTP/1.1\r\nHost: a\r\n\r\n"),
    (Refusal::Target, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    (Refusal::Target, "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (Refusal::Target, "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    (Refusal::Target, "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"),
    (
        Refusal::Target,
        "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (Refusal::Target, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    (Refusal::Target, "GET /a\u{0}b HTTP/1.1\r\nHost: a\r\n\r\n"),
    (Refusal::Target, "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n"),
    (Refusal::Target, "GET /<b> HTTP/1.1\r\nHost: a\r\n\r\n"),
    (Refusal::Version, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    (Refusal::Version, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    (Refusal::Version, "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
    (Refusal::BareLf, "GET / HTTP/1.1\nHost: a\n\n"),
    (Refusal::BareLf, "GET / HTTP/1.1\r\nHost: a\n\r\n"),
    (Refusal::BareLf, "GET / HTTP/1.1\r\nHost: a\r\n\n"),
    (Refusal::BareLf, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    (
        Refusal::BareCr,
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
    ),
    (
        Refusal::BareCr,
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\r\n\r\n",
    ),
    (Refusal::BareCr, "GET /\rX: HTTP/1.1\r\nHost: a\r\n\r\n"),
    (
        Refusal::Folding,
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
    ),
    (Refusal::Folding, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    (Refusal::Folding, "GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n"),
    (Refusal::FieldLine, "GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"),
    (
        Refusal::SpaceBeforeColon,
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    ),
    (
        Refusal::SpaceBeforeColon,
        "GET / HTTP/1.1\r\nHost: a\r\nX\t: a\r\n\r\n",
    ),
    (
        Refusal::FieldName,
        "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    ),
    (
        Refusal::FieldName,
        "GET / HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n",
    ),
    (
        Refusal::FieldName,
        "GET / HTTP/1.1\r\nHost: a\r\n\"X\": b\r\n\r\n",
    ),
    (
        Refusal::FieldName,
        "GET / HTTP/1.1\r\nHost: a\r\nX\u{b}: b\r\n\r\n",
    ),
    (
        Refusal::FieldName,
        "GET / HTTP/1.1\r\nHost: a\r\n\u{e9}: b\r\n\r\n",
    ),
    (
        Refusal::FieldValue,
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\u{0}\r\n\r\n",
    ),
    (
        Refusal::FieldValue,
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\u{7f}c\r\n\r\n",
    ),
    (Refusal::HostMissing, "GET / HTTP/1.1\r\nX: a\r\n\r\n"),
    (
        Refusal::HostMissing,
        "GET http://a/ HTTP/1.1\r\nX: a\r\n\r\n",
    ),
    (
        Refusal::HostRepeated,
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    ),
    (
        Refusal::HostRepeated,
        "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n",
    ),
    (Refusal::Host, "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    (Refusal::Host, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    (Refusal::Host, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    (Refusal::Host, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    (Refusal::Host, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    (Refusal::Host, "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    (Refusal::Host, "GET / HTTP/1.1\r\nHost: :80\r\n\r\n"),
    (Refusal::Host, "GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n"),
    (Refusal::Host, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    (Refusal::Host, "GET / HTTP/1.1\r\nHost: [x]\r\n\r\n"),
    (Refusal::Host, "GET / HTTP/1.1\r\nHost: a%2\r\n\r\n"),
    (Refusal::Host, "GET / HTTP/1.1\r\nHost: a%00\r\n\r\n"),
    (Refusal::Host, "GET / HTTP/1.1\r\nHost: a%1F\r\n\r\n"),
    (Refusal::Host, "GET / HTTP/1.1\r\nHost: a%7f\r\n\r\n"),
    (
        Refusal::ContentLength,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n",
    ),
    (
        Refusal::ContentLength,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    ),
    (
        Refusal::ContentLength,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\nx",
    ),
    (
        Refusal::ContentLength,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\nx",
    ),
    (
        Refusal::ContentLength,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\nx",
    ),
    (
        Refusal::ContentLength,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775808\r\n\r\n",
    ),
    (
        Refusal::ContentLength,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    ),
    (
        Refusal::ContentLengthRepeated,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    ),
    (
        Refusal::ContentLengthRepeated,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    ),
    (
        Refusal::ContentLengthRepeated,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\nx",
    ),
    (
        Refusal::LengthAndCoding,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Refusal::LengthAndCoding,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
    ),
    (
        Refusal::CodingInOldVersion,
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Refusal::Coding,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n",
    ),
    (
        Refusal::Coding,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n",
    ),
    (
        Refusal::Coding,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Refusal::Coding,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    ),
    (
        Refusal::Coding,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    ),
    (
        Refusal::Coding,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
    ),
    (
        Refusal::FieldValue,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Refusal::CodingUnknown,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Refusal::CodingUnknown,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        Refusal::CodingUnknown,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
    ),
    (
        Refusal::Expectation,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 200-ok\r\n\r\nx",
    ),
    (
        Refusal::Connect,
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
    ),
];

#[tokio::test(start_paused = true)]
async fn what_is_ambiguous_is_refused_and_nothing_after_it_is_served() {
    for (refusal, input) in REFUSED {
        let whole = format!("{input}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        let talk = talk(whole.as_bytes()).await;
        assert_eq!(talk.seen, [""; 0], "{refusal}: {input:?}");
        assert_eq!(talk.refused, [*refusal], "{refusal}: {input:?}");
        assert_eq!(talk.closed.reason, CloseReason::Refused(*refusal));
        assert_eq!(
            talk.statuses(),
            [refusal.status().as_u16()],
            "{refusal}: {input:?}"
        );
        let text = talk.text();
        assert!(text.contains("\r\nConnection: close\r\n"), "{text}");
        assert!(text.contains("\r\nContent-Length: 0\r\n"), "{text}");
        assert!(text.contains("\r\nDate: "), "{text}");
    }
}

#[test]
fn every_refusal_of_a_head_has_a_row() {
    let elsewhere = [
        Refusal::TargetTooLong,
        Refusal::TooManyFields,
        Refusal::HeadTooLarge,
        Refusal::HeadTimeout,
        Refusal::ChunkSize,
        Refusal::ChunkTooLong,
        Refusal::ChunkEnd,
    ];
    for refusal in Refusal::ALL {
        let is_here = REFUSED.iter().any(|(row, _)| *row == refusal);
        assert!(is_here || elsewhere.contains(&refusal), "{refusal}");
    }
}

/// RFC 6585 5, RFC 9112 3: sizes beyond what the server takes.
#[tokio::test(start_paused = true)]
async fn sizes_have_bounds() {
    let limits = Limits {
        head_bytes_max: 10_000,
        target_bytes_max: 8000,
        fields_max: 16,
        ..Limits::default()
    };
    let target =
        |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "p".repeat(bytes - 1));
    let fields = |count: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: y\r\n".repeat(count - 1)
        )
    };
    let head = |bytes: usize| {
        let rest = bytes - "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "v".repeat(rest)
        )
    };
    let rows = [
        (target(8000), None),
        (target(8001), Some(Refusal::TargetTooLong)),
        (target(20_000), Some(Refusal::TargetTooLong)),
        (fields(16), None),
        (fields(17), Some(Refusal::TooManyFields)),
        (head(10_000), None),
        (head(10_001), Some(Refusal::HeadTooLarge)),
        (head(65_536), Some(Refusal::HeadTooLarge)),
    ];
    for (input, refusal) in rows {
        let talk = talk_in_pieces(&[input.as_bytes()], &limits).await;
        assert_eq!(
            talk.refused,
            Vec::from_iter(refusal),
            "{} bytes",
            input.len()
        );
        assert_eq!(talk.seen.len(), usize::from(refusal.is_none()));
        let status = refusal.map_or(if input.contains("ppp") { 404 } else { 200 }, |refusal| {
            refusal.status().as_u16()
        });
        assert_eq!(talk.statuses(), [status]);
    }
}
