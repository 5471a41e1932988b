//! Request bodies: read, passed over, or the reason for an end.

use mcsp_edge_h1::{CloseReason, Limits, Refusal};
use tokio::io::AsyncWriteExt as _;

use crate::site::{Site, open, read_until, talk, talk_in_pieces};

const NEXT: &str = "GET /full/1 HTTP/1.1\r\nHost: a\r\n\r\n";

fn post(path: &str, fields: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}{NEXT}")
}

/// RFC 9112 7.1: each refused, on a body that a handler reads and on one that is passed over.
#[tokio::test(start_paused = true)]
async fn broken_chunks_are_refused() {
    let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(300));
    let trailer = format!("0\r\nT: {}\r\n\r\n", "t".repeat(5000));
    let rows = [
        (Refusal::ChunkSize, "g\r\n"),
        (Refusal::ChunkSize, "\r\n"),
        (Refusal::ChunkSize, "-1\r\nx\r\n"),
        (Refusal::ChunkSize, "+1\r\nx\r\n"),
        (Refusal::ChunkSize, "0x1\r\nx\r\n"),
        (Refusal::ChunkSize, "1_0\r\nx\r\n"),
        (Refusal::ChunkSize, " 1\r\nx\r\n"),
        (Refusal::ChunkSize, "1 \r\nx\r\n0\r\n\r\n"),
        (Refusal::ChunkSize, ";x\r\n"),
        (Refusal::ChunkSize, "8000000000000000\r\n"),
        (Refusal::ChunkSize, "10000000000000000\r\n"),
        (Refusal::ChunkTooLong, &long),
        (Refusal::ChunkTooLong, &trailer),
        (Refusal::ChunkTooLong, &"0".repeat(300)),
        (Refusal::ChunkEnd, "1;a\nx\r\n0\r\n\r\n"),
        (Refusal::ChunkSize, "1\nx\r\n0\r\n\r\n"),
        (Refusal::ChunkEnd, "1\rx\r\n0\r\n\r\n"),
        (Refusal::ChunkEnd, "1\r\nx0\r\n\r\n"),
        (Refusal::ChunkEnd, "1\r\nxx\r\n0\r\n\r\n"),
        (Refusal::ChunkEnd, "1\r\nx\n0\r\n\r\n"),
        (Refusal::ChunkEnd, "0\r\nT: 1\n\r\n"),
        (Refusal::ChunkEnd, "0\r\n\n"),
        (Refusal::ChunkEnd, "0\r\nT: \u{0}\r\n\r\n"),
        (Refusal::ChunkEnd, "1;\u{1}\r\nx\r\n0\r\n\r\n"),
    ];
    for (refusal, body) in rows {
        let coded = "Transfer-Encoding: chunked";
        let read = talk(post("/echo", coded, body).as_bytes()).await;
        assert_eq!(read.refused, [refusal], "{body:?}");
        assert_eq!(read.statuses(), [400], "{body:?}");
        assert_eq!(read.seen.len(), 1, "{body:?}");

        let passed = talk(post("/full/1", coded, body).as_bytes()).await;
        assert_eq!(passed.refused, [refusal], "{body:?}");
        assert_eq!(passed.statuses(), [200], "{body:?}");
        assert_eq!(passed.seen.len(), 1, "{body:?}");
        assert_eq!(passed.closed.reason, CloseReason::Refused(refusal));
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_arrive_without_their_framing() {
    let chunked = post(
        "/echo",
        "Transfer-Encoding: chunked",
        "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n",
    );
    let sized = post("/echo", "Content-Length: 5", "abcde");
    for input in [chunked, sized] {
        let talk = talk(input.as_bytes()).await;
        assert!(
            talk.text().contains("Content-Length: 5\r\n\r\nabcde"),
            "{}",
            talk.text()
        );
        assert_eq!(talk.statuses(), [200, 200]);
    }
}

/// RFC 9112 9.3: a body that nobody reads is passed over within a bound, and the answer says which.
#[tokio::test(start_paused = true)]
async fn unread_bodies_are_passed_over_within_a_bound() {
    let limits = Limits {
        discard_bytes_max: 1000,
        ..Limits::default()
    };
    let chunk = |bytes: usize| format!("{bytes:x}\r\n{}\r\n0\r\n\r\n", "b".repeat(bytes));
    let rows = [
        (
            post("/full/1", "Content-Length: 1000", &"b".repeat(1000)),
            vec![200, 200],
            false,
        ),
        (
            post("/full/1", "Content-Length: 1001", &"b".repeat(1001)),
            vec![200],
            true,
        ),
        (
            post("/full/1", "Content-Length: 99999999", ""),
            vec![200],
            true,
        ),
        (
            post("/full/1", "Transfer-Encoding: chunked", &chunk(900)),
            vec![200, 200],
            false,
        ),
        // Its length shows only while it is passed over: the end comes unannounced.
        (
            post("/full/1", "Transfer-Encoding: chunked", &chunk(1001)),
            vec![200],
            false,
        ),
    ];
    for (input, statuses, is_announced) in rows {
        let talk = talk_in_pieces(&[input.as_bytes()], &limits).await;
        assert_eq!(talk.statuses(), statuses, "{:.80}", input);
        assert_eq!(
            talk.text().contains("Connection: close"),
            is_announced,
            "{input:.80}"
        );
    }
}

/// RFC 9110 10.1.1: asked for when the handler reads, not asked for when it does not; then the connection ends, since
/// the client may send the body or not.
#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_100_is_told_so_only_when_the_body_is_wanted() {
    let site = Site::new();
    let mut line = open(&site, &Limits::default(), 4096);
    let head = |path| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    line.client
        .write_all(head("/echo").as_bytes())
        .await
        .unwrap();
    let interim = read_until(&mut line.client, b"\r\n\r\n").await;
    assert_eq!(interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    line.client.write_all(b"abc").await.unwrap();
    let answer = read_until(&mut line.client, b"abc").await;
    assert!(!String::from_utf8_lossy(&answer).contains("Connection"));

    line.client
        .write_all(head("/full/1").as_bytes())
        .await
        .unwrap();
    let answer = read_until(&mut line.client, b"\r\n\r\nx").await;
    assert!(String::from_utf8_lossy(&answer).contains("Connection: close\r\n"));
    drop(line.client);
    assert_eq!(line.served.await.unwrap().reason, CloseReason::Answered);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ends_early_is_an_error() {
    for (fields, body) in [
        ("Content-Length: 5", "abc"),
        ("Transfer-Encoding: chunked", "5\r\nabc"),
        ("Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n"),
    ] {
        let site = Site::new();
        let mut line = open(&site, &Limits::default(), 4096);
        let input = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{body}");
        line.client.write_all(input.as_bytes()).await.unwrap();
        drop(line.client);
        assert_eq!(line.served.await.unwrap().reason, CloseReason::Dropped);
        assert_eq!(site.errors(), ["the body ends too early"], "{fields}");
    }
}
