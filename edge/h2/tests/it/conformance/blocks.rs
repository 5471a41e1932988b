//! Section 4.3, RFC 7541: blocks that cannot be decoded end the connection.

use super::*;

fn with(more: &[u8]) -> Vec<u8> {
    let block = [request("GET", "/full/1", &[]).as_slice(), more].concat();
    frame(HEADERS, WHOLE, 1, &block)
}

/// A table's new size, and a request after it.
fn sized(sizes: &[u8]) -> Vec<u8> {
    let block = [sizes, &request("GET", "/full/1", &[])].concat();
    frame(HEADERS, WHOLE, 1, &block)
}

#[tokio::test]
async fn blocks_that_are_none() {
    let fault = Connection(COMPRESSION);
    check(vec![
        (
            "RFC 7541 2.3.3",
            "an index that nobody has",
            with(&[0xbe]),
            fault,
        ),
        (
            "RFC 7541 2.3.3",
            "a name's index that nobody has",
            with(b"\x7f\x10\x01a"),
            fault,
        ),
        ("RFC 7541 6.1", "index 0", with(&[0x80]), fault),
        (
            "RFC 7541 5.1",
            "an integer that is cut",
            with(&[0xff]),
            fault,
        ),
        (
            "RFC 7541 5.1",
            "an integer that is too large",
            with(&[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f]),
            fault,
        ),
        (
            "RFC 7541 5.2",
            "a string that is cut",
            with(b"\0\x01a\x09b"),
            fault,
        ),
        (
            "RFC 7541 5.2",
            "the code's end in a string",
            with(b"\0\x01a\x84\xff\xff\xff\xff"),
            fault,
        ),
        (
            "RFC 7541 5.2",
            "padding of more than 7 bits",
            with(b"\0\x01a\x82\x1f\xff"),
            fault,
        ),
        (
            "RFC 7541 5.2",
            "padding that is not of ones",
            with(b"\0\x01a\x81\x18"),
            fault,
        ),
        (
            "RFC 7541 4.2",
            "a new size after a field",
            with(&[0x20]),
            fault,
        ),
        (
            "RFC 7541 6.3",
            "a size above what was agreed",
            sized(&[0x3f, 0xe2, 0x1f]),
            fault,
        ),
        (
            "RFC 7541 6.3",
            "two sizes",
            sized(&[0x20, 0x3f, 0xe1, 0x1f]),
            Nothing,
        ),
        (
            "4.3",
            "a block of a stream that was refused for its form counts too",
            [
                frame(
                    HEADERS,
                    WHOLE,
                    1,
                    &[
                        request("GET", "/full/1", &[("te", "x")]),
                        vec![0x40, 1, b'a', 1, b'b'],
                    ]
                    .concat(),
                ),
                frame(
                    HEADERS,
                    WHOLE,
                    3,
                    &[request("GET", "/full/1", &[]), vec![0xbe]].concat(),
                ),
            ]
            .concat(),
            Stream(1, PROTOCOL),
        ),
        (
            "4.3",
            "the same of trailers",
            [
                open(1),
                frame(HEADERS, WHOLE, 1, &[0x40, 1, b'a', 1, b'b']),
                frame(
                    HEADERS,
                    WHOLE,
                    3,
                    &[request("GET", "/full/1", &[]), vec![0xbe]].concat(),
                ),
            ]
            .concat(),
            Nothing,
        ),
    ])
    .await;
}

/// RFC 7541 section 4.2: what the client says of its table is followed in the next block.
#[tokio::test]
async fn the_clients_table() {
    // SETTINGS_HEADER_TABLE_SIZE 0.
    let mut raw = Raw::with(&[0, 1, 0, 0, 0, 0]).await;
    for stream in [1, 3] {
        raw.send(&get(stream)).await;
        let is_head = |seen: &Seen| (seen.kind, seen.stream) == (HEADERS, stream);
        assert!(raw.until(is_head).await);
        let payload = &raw.seen.last().unwrap().payload;
        // content-length, not indexed, its name in the static table.
        let head = b"\x88\x0f\x0d\x011";
        let wanted = if stream == 1 {
            [b"\x20", &head[..]].concat()
        } else {
            head.to_vec()
        };
        assert_eq!(*payload, wanted);
    }
}
