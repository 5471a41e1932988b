//! What is served, one row for each rule: what is sent, what reaches the handler, what is answered. Each names its section.

use crate::site::talk;

struct Accepted {
    section: &'static str,
    input: &'static str,
    seen: &'static [&'static str],
    statuses: &'static [u16],
}

const ACCEPTED: &[Accepted] = &[
    row(
        "9112 3.2.1",
        "GET /full/3?q=1 HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /full/3?q=1 a"],
        &[200],
    ),
    row(
        "9112 3.2.2",
        "GET http://b.example:80/full/1?x HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /full/1?x b.example:80"],
        &[200],
    ),
    row(
        "9112 3.2.2",
        "GET HTTPS://b HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET / b"],
        &[200],
    ),
    row(
        "9112 3.2.2",
        "GET http://b?q HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /?q b"],
        &[200],
    ),
    row(
        "9112 3.2.4",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        &["OPTIONS * a"],
        &[200],
    ),
    row(
        "9112 3.2.4",
        "OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n",
        &["OPTIONS * "],
        &[200],
    ),
    row(
        "9112 3.2",
        "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n",
        &["GET / [2001:db8::1]:8080"],
        &[200],
    ),
    row(
        "9112 3.2",
        "GET / HTTP/1.1\r\nHost: a%20b\r\n\r\n",
        &["GET / a%20b"],
        &[200],
    ),
    row("9112 3.2", "GET / HTTP/1.0\r\n\r\n", &["GET / -"], &[200]),
    row(
        "9112 2.2",
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET / a"],
        &[200],
    ),
    row(
        "9112 5",
        "GET / HTTP/1.1\r\nhOST:a\r\n\r\n",
        &["GET / a"],
        &[200],
    ),
    row(
        "9112 5.1",
        "GET / HTTP/1.1\r\nHost: \t a \t \r\nX:\r\n\r\n",
        &["GET / a"],
        &[200],
    ),
    row(
        "9110 5.5",
        "GET / HTTP/1.1\r\nHost: a\r\nX: caf\u{e9}\ttab\r\n\r\n",
        &["GET / a"],
        &[200],
    ),
    row(
        "9110 9.1",
        "BREW /full/1 HTTP/1.1\r\nHost: a\r\n\r\n",
        &["BREW /full/1 a"],
        &[200],
    ),
    row(
        "9110 2.5",
        "GET / HTTP/1.7\r\nHost: a\r\n\r\n",
        &["GET / a"],
        &[200],
    ),
    row(
        "9112 9.3.2",
        "GET /full/1 HTTP/1.1\r\nHost: a\r\n\r\nGET /full/2 HTTP/1.1\r\nHost: a\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /full/1 a", "GET /full/2 a", "GET /x a"],
        &[200, 200, 404],
    ),
    row(
        "9112 9.6",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\nGET /never HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET / a"],
        &[200],
    ),
    row(
        "9112 9.3",
        "GET / HTTP/1.0\r\nHost: a\r\n\r\nGET /never HTTP/1.0\r\nHost: a\r\n\r\n",
        &["GET / a"],
        &[200],
    ),
    row(
        "9112 9.3",
        "GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        &["GET / a", "GET / -"],
        &[200, 200],
    ),
    row(
        "9112 6.3",
        "POST /full/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &["POST /full/1 a", "GET / a"],
        &[200, 200],
    ),
    row(
        "9112 6.3",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 003\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &["POST /echo a", "GET / a"],
        &[200, 200],
    ),
    row(
        "9112 7.1",
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &["POST /echo a", "GET / a"],
        &[200, 200],
    ),
    row(
        "9112 7.1.1",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nA ;x=\"y\"\r\n0123456789\r\n00;z\r\nTrailer: 1\r\nT: 2\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &["POST / a", "GET / a"],
        &[200, 200],
    ),
    row(
        "9110 10.1.1",
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-Continue\r\n\r\nabc",
        &["POST /echo a"],
        &[200],
    ),
    row(
        "9110 10.1.1",
        "POST /echo HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
        &["POST /echo -"],
        &[200],
    ),
    row(
        "9110 15.2",
        "GET /hints HTTP/1.1\r\nHost: a\r\n\r\n",
        &["GET /hints a"],
        &[103, 200],
    ),
    row(
        "9110 15.2",
        "GET /hints HTTP/1.0\r\n\r\n",
        &["GET /hints -"],
        &[200],
    ),
];

const fn row(
    section: &'static str,
    input: &'static str,
    seen: &'static [&'static str],
    statuses: &'static [u16],
) -> Accepted {
    Accepted {
        section,
        input,
        seen,
        statuses,
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_standard_allows_is_served() {
    for row in ACCEPTED {
        let talk = talk(row.input.as_bytes()).await;
        assert_eq!(talk.seen, row.seen, "RFC {}: {:?}", row.section, row.input);
        assert_eq!(
            talk.statuses(),
            row.statuses,
            "RFC {}: {:?}",
            row.section,
            row.input
        );
        assert_eq!(talk.refused, [], "RFC {}: {:?}", row.section, row.input);
    }
}
