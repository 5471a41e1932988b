//! Section 8: requests.

use super::*;

/// A request with these fields, whole.
fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &block(fields))
}

/// A good request with more fields.
fn more(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &request("GET", "/full/1", fields))
}

const MALFORMED: Wanted = Stream(1, PROTOCOL);

#[tokio::test]
async fn plain_fields() {
    check(vec![
        (
            "8.2.1",
            "an upper case name",
            more(&[("X-a", "b")]),
            MALFORMED,
        ),
        ("8.2.1", "an empty name", more(&[("", "b")]), MALFORMED),
        (
            "8.2.1",
            "a name with a blank",
            more(&[("a b", "c")]),
            MALFORMED,
        ),
        (
            "8.2.1",
            "a name with a colon",
            more(&[("a:b", "c")]),
            MALFORMED,
        ),
        (
            "8.2.1",
            "a name beyond ASCII",
            more(&[("é", "c")]),
            MALFORMED,
        ),
        (
            "8.2.1",
            "a value with a NUL",
            more(&[("a", "b\0")]),
            MALFORMED,
        ),
        (
            "8.2.1",
            "a value with a line",
            more(&[("a", "b\r\nc: d")]),
            MALFORMED,
        ),
        (
            "8.2.1",
            "a value with a blank before",
            more(&[("a", " b")]),
            MALFORMED,
        ),
        (
            "8.2.1",
            "a value with a tab after",
            more(&[("a", "b\t")]),
            MALFORMED,
        ),
        ("8.2.1", "an empty value", more(&[("a", "")]), Nothing),
        (
            "8.2.2",
            "connection",
            more(&[("connection", "close")]),
            MALFORMED,
        ),
        (
            "8.2.2",
            "keep-alive",
            more(&[("keep-alive", "1")]),
            MALFORMED,
        ),
        (
            "8.2.2",
            "proxy-connection",
            more(&[("proxy-connection", "close")]),
            MALFORMED,
        ),
        (
            "8.2.2",
            "transfer-encoding",
            more(&[("transfer-encoding", "chunked")]),
            MALFORMED,
        ),
        ("8.2.2", "upgrade", more(&[("upgrade", "h2c")]), MALFORMED),
        ("8.2.2", "te", more(&[("te", "gzip")]), MALFORMED),
        (
            "8.2.2",
            "te: trailers",
            more(&[("te", "trailers")]),
            Nothing,
        ),
        (
            "8.2.3",
            "cookies in several fields",
            more(&[("cookie", "a=b"), ("cookie", "c=d")]),
            Nothing,
        ),
    ])
    .await;
}

#[tokio::test]
async fn pseudo_fields() {
    let (method, scheme, authority, path) = (
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "x"),
        (":path", "/full/1"),
    );
    check(vec![
        ("8.3", "an unknown one", more(&[(":a", "b")]), MALFORMED),
        (
            "8.3",
            "an answer's",
            fields(&[method, scheme, authority, path, (":status", "200")]),
            MALFORMED,
        ),
        (
            "8.3",
            "one after other fields",
            fields(&[method, scheme, authority, ("a", "b"), path]),
            MALFORMED,
        ),
        (
            "8.3",
            "none after other fields",
            fields(&[method, scheme, path, ("host", "x")]),
            Nothing,
        ),
        (
            "8.3.1",
            "no :method",
            fields(&[scheme, authority, path]),
            MALFORMED,
        ),
        (
            "8.3.1",
            "no :scheme",
            fields(&[method, authority, path]),
            MALFORMED,
        ),
        (
            "8.3.1",
            "no :path",
            fields(&[method, scheme, authority]),
            MALFORMED,
        ),
        (
            "8.3.1",
            "an empty :path",
            fields(&[method, scheme, authority, (":path", "")]),
            MALFORMED,
        ),
        (
            "8.3.1",
            "a :path with a fragment",
            fields(&[method, scheme, authority, (":path", "/full/1#x")]),
            MALFORMED,
        ),
        (
            "8.3.1",
            ":method twice",
            fields(&[method, method, scheme, authority, path]),
            MALFORMED,
        ),
        (
            "8.3.1",
            ":scheme twice",
            fields(&[method, scheme, scheme, authority, path]),
            MALFORMED,
        ),
        (
            "8.3.1",
            ":authority twice",
            fields(&[method, scheme, authority, authority, path]),
            MALFORMED,
        ),
        (
            "8.3.1",
            ":path twice",
            fields(&[method, scheme, authority, path, path]),
            MALFORMED,
        ),
        (
            "8.3.1",
            "a :method that is none",
            fields(&[(":method", "G T"), scheme, authority, path]),
            MALFORMED,
        ),
        (
            "8.3.1",
            "an :authority that is none",
            fields(&[method, scheme, (":authority", "a b"), path]),
            MALFORMED,
        ),
        (
            "8.3.1",
            "a :scheme that is none",
            fields(&[method, (":scheme", "h s"), authority, path]),
            MALFORMED,
        ),
        (
            "8.5",
            "CONNECT with :path",
            fields(&[(":method", "CONNECT"), authority, path]),
            MALFORMED,
        ),
        (
            "8.5",
            "CONNECT with :scheme",
            fields(&[(":method", "CONNECT"), scheme, authority]),
            MALFORMED,
        ),
        (
            "8.5",
            "CONNECT without :authority",
            fields(&[(":method", "CONNECT")]),
            MALFORMED,
        ),
        (
            "RFC 8441 3",
            ":protocol that was not offered",
            fields(&[
                (":method", "CONNECT"),
                (":protocol", "websocket"),
                scheme,
                authority,
                path,
            ]),
            MALFORMED,
        ),
    ])
    .await;
}

#[tokio::test]
async fn bodies_are_as_long_as_they_say() {
    let post = |length: &str| {
        let more = [("content-length", length)];
        frame(HEADERS, END_HEADERS, 1, &request("POST", "/wait", &more))
    };
    let trailers = frame(HEADERS, WHOLE, 1, &block(&[("a", "b")]));
    check(vec![
        (
            "8.1.1",
            "none where some were said",
            more(&[("content-length", "1")]),
            MALFORMED,
        ),
        (
            "8.1.1",
            "none where none were said",
            more(&[("content-length", "0")]),
            Nothing,
        ),
        (
            "8.1.1",
            "less than was said",
            [post("4"), frame(DATA, END_STREAM, 1, b"abc")].concat(),
            MALFORMED,
        ),
        (
            "8.1.1",
            "more than was said",
            [post("2"), frame(DATA, 0, 1, b"abc")].concat(),
            MALFORMED,
        ),
        (
            "8.1.1",
            "more than was said, in several frames",
            [post("4"), frame(DATA, 0, 1, b"abc").repeat(2)].concat(),
            MALFORMED,
        ),
        (
            "8.1.1",
            "less than was said, before trailers",
            [post("4"), frame(DATA, 0, 1, b"abc"), trailers.clone()].concat(),
            MALFORMED,
        ),
        (
            "8.1.1",
            "as much as was said",
            [post("3"), frame(DATA, END_STREAM, 1, b"abc")].concat(),
            Nothing,
        ),
        (
            "8.1.1",
            "as much as was said, padded, and trailers",
            [post("3"), frame(DATA, 8, 1, b"\x01abc\0"), trailers].concat(),
            Nothing,
        ),
    ])
    .await;
}

#[tokio::test]
async fn trailers() {
    let trailers = |flags, fields: &[(&str, &str)]| {
        [open(1), frame(HEADERS, flags, 1, &block(fields))].concat()
    };
    check(vec![
        ("8.1", "trailers", trailers(WHOLE, &[("a", "b")]), Nothing),
        (
            "8.1",
            "fields that do not end the body",
            trailers(END_HEADERS, &[("a", "b")]),
            MALFORMED,
        ),
        (
            "8.1",
            "a pseudo field",
            trailers(WHOLE, &[(":method", "GET")]),
            MALFORMED,
        ),
        (
            "8.2.2",
            "a field of connections",
            trailers(WHOLE, &[("connection", "close")]),
            MALFORMED,
        ),
        (
            "8.2.1",
            "an upper case name",
            trailers(WHOLE, &[("A", "b")]),
            MALFORMED,
        ),
    ])
    .await;
}

/// Section 6.5.2, RFC 6585 section 5: the table is kept all the same.
#[tokio::test]
async fn too_many_fields_are_431() {
    let mut raw = Raw::with(&[]).await;
    let large = "v".repeat(100);
    let many: Vec<_> = (0..500).map(|_| ("name", large.as_str())).collect();
    let block = [
        request("GET", "/full/1", &many[..100]),
        // Into the table.
        [&[0x40][..], &field("in-table", "v")[1..]].concat(),
        block(&many[100..]),
    ]
    .concat();
    let mut parts = block.chunks(16_384);
    let mut bytes = frame(HEADERS, END_STREAM, 1, parts.next().unwrap());
    for part in parts.by_ref() {
        bytes.extend(frame(CONTINUATION, 0, 1, part));
    }
    bytes.extend(frame(CONTINUATION, END_HEADERS, 1, &[]));
    raw.send(&bytes).await;
    assert!(
        raw.until(|seen| (seen.kind, seen.stream) == (HEADERS, 1))
            .await
    );
    let answer = raw.seen.last().unwrap();
    assert_eq!(answer.flags, WHOLE);
    assert_eq!(answer.payload, b"\x08\x03431");
    assert_eq!(
        raw.site
            .running_max
            .load(std::sync::atomic::Ordering::SeqCst),
        0
    );
    // The entry is there.
    let known = [request("GET", "/full/1", &[]), vec![0xbe]].concat();
    raw.send(&frame(HEADERS, WHOLE, 3, &known)).await;
    assert!(
        raw.until(|seen| (seen.kind, seen.stream) == (HEADERS, 3))
            .await
    );
}

/// Section 8.1: the rest of a request that nobody reads is not asked for.
#[tokio::test]
async fn an_answer_before_the_requests_end() {
    let mut raw = Raw::with(&[]).await;
    let block = request("POST", "/full/5", &[]);
    raw.send(&frame(HEADERS, END_HEADERS, 1, &block)).await;
    assert!(raw.until(|seen| seen.kind == RESET).await);
    assert_eq!(raw.seen.last().unwrap().code(), 0);
    assert_eq!(raw.data_bytes(1), 5);
    // What is on its way meanwhile is no fault.
    raw.send(&frame(DATA, END_STREAM, 1, b"late")).await;
    assert!(raw.round(*b"it lives").await);
}

#[tokio::test]
async fn a_handler_that_gives_up_is_seen_to() {
    let mut raw = Raw::with(&[]).await;
    raw.send(&frame(HEADERS, WHOLE, 1, &request("GET", "/cut", &[])))
        .await;
    assert!(raw.until(|seen| seen.kind == RESET).await);
    assert_eq!(raw.seen.last().unwrap().code(), INTERNAL);
    raw.send(&frame(HEADERS, WHOLE, 3, &request("GET", "/short", &[])))
        .await;
    assert!(raw.until(|seen| seen.kind == RESET).await);
    // Sections 5.4.2, 8.1: what was said of it comes before.
    assert_eq!(raw.data_bytes(3), 5);
}
