//! Bodies: complete for certain, or an error, or flagged.

use std::time::Duration;

use mcsp_edge_fetch::{BodyLength, Fault, FetchErrorKind};

use crate::harness::{Harness, get, read, target};
use crate::origin::{Origin, Step, send};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn a_body_that_ends_early_is_an_error_for_ever() {
    let cases = [
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n".to_owned(),
        CHUNKED.to_owned(),
        format!("{CHUNKED}3"),
        format!("{CHUNKED}3\r\nab"),
        format!("{CHUNKED}3\r\nabc"),
        format!("{CHUNKED}3\r\nabc\r\n"),
        format!("{CHUNKED}3\r\nabc\r\n0\r\n"),
        format!("{CHUNKED}3\r\nabc\r\n0\r\nx: y\r\n"),
    ];
    let harness = Harness::new();
    for raw in cases {
        let origin = Origin::answering(raw.as_bytes()).await;
        let mut response = harness
            .fetch(&get(), &target(&[origin.address]))
            .await
            .unwrap();
        let error = read(&mut response).await.expect_err(&raw);
        assert_eq!(error.kind, FetchErrorKind::Truncated, "{raw:?}");
        assert!(!response.is_complete());
        let again = response.next_chunk().await.unwrap_err();
        assert_eq!(again.kind, FetchErrorKind::Truncated);
    }
}

#[tokio::test]
async fn a_reset_within_a_body_is_an_error_also_where_the_end_of_the_connection_is_its_end() {
    let harness = Harness::new();
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\n\r\nabc",
    ] {
        let script = vec![Step::Request, send(head), Step::Hold, Step::Reset];
        let origin = Origin::start(vec![script]).await;
        let mut response = harness
            .fetch(&get(), &target(&[origin.address]))
            .await
            .unwrap();
        assert_eq!(response.next_chunk().await.unwrap().unwrap(), "abc");
        origin.go_on();
        let error = response.next_chunk().await.unwrap_err();
        assert_eq!(error.kind, FetchErrorKind::Truncated);
        assert!(!response.is_complete());
    }
}

#[tokio::test]
async fn a_body_until_the_connection_closes_is_flagged() {
    let harness = Harness::new();
    for version in ["1.0", "1.1"] {
        let raw = format!("HTTP/{version} 200 OK\r\nconnection: keep-alive\r\n\r\nabc");
        let origin = Origin::answering(raw.as_bytes()).await;
        let (response, body) = harness.get(&origin).await.unwrap();
        assert_eq!(response.length(), BodyLength::UntilClose);
        assert_eq!(body, (b"abc".to_vec(), false));
    }
}

#[tokio::test]
async fn chunks_are_put_together() {
    let harness = Harness::new();
    let raw = format!(
        "{CHUNKED}3\r\nabc\r\nA;x=\"y\"\r\n0123456789\r\n000001 ;z\r\n!\r\n00\r\nx-t: 1\r\n\r\n"
    );
    let origin = Origin::answering(raw.as_bytes()).await;
    let (response, body) = harness.get(&origin).await.unwrap();
    assert_eq!(body, (b"abc0123456789!".to_vec(), true));
    assert_eq!(response.length(), BodyLength::Marked);
    assert!(!response.head.headers.contains_key("transfer-encoding"));
}

#[tokio::test]
async fn malformed_chunks_are_refused() {
    let long = format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(5_000));
    let many = format!(
        "{}0\r\n\r\n",
        format!("1;{}\r\na\r\n", "x".repeat(1_000)).repeat(20)
    );
    let trailers = format!(
        "0\r\n{}\r\n",
        format!("x: {}\r\n", "y".repeat(2_000)).repeat(10)
    );
    let cases: &[(&str, Fault)] = &[
        ("xyz\r\n", Fault::Chunk),
        ("\r\nabc\r\n", Fault::Chunk),
        ("-1\r\nabc\r\n", Fault::Chunk),
        (" 3\r\nabc\r\n", Fault::Chunk),
        ("0x3\r\nabc\r\n", Fault::Chunk),
        ("3 x\r\nabc\r\n", Fault::Chunk),
        ("3\nabc\r\n", Fault::Chunk),
        ("3;a\rb\r\nabc\r\n", Fault::Chunk),
        ("10000000000000003\r\nabc\r\n", Fault::Chunk),
        ("3\r\nabcd\r\n", Fault::Chunk),
        ("3\r\nabc\n0\r\n\r\n", Fault::Chunk),
        (&long, Fault::Chunk),
        (&many, Fault::Chunk),
        ("0\r\nx\r\n\r\n", Fault::Trailer),
        ("0\r\n x: y\r\n\r\n", Fault::Trailer),
        ("0\r\nx : y\r\n\r\n", Fault::Trailer),
        ("0\r\nx: y\n\r\n", Fault::Trailer),
        (&trailers, Fault::Trailer),
    ];
    let harness = Harness::new();
    for (chunks, fault) in cases {
        let origin = Origin::answering(format!("{CHUNKED}{chunks}").as_bytes()).await;
        let mut response = harness
            .fetch(&get(), &target(&[origin.address]))
            .await
            .unwrap();
        let error = read(&mut response).await.expect_err(chunks);
        assert_eq!(error.kind, FetchErrorKind::Protocol(*fault), "{chunks:?}");
    }
}

#[tokio::test]
async fn large_bodies_arrive_whole() {
    let bytes: Vec<u8> = (0..3_000_017_u32).map(|at| (at % 251) as u8).collect();
    let mut known =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", bytes.len()).into_bytes();
    known.extend_from_slice(&bytes);
    let mut chunked = CHUNKED.as_bytes().to_vec();
    for (nth, chunk) in bytes.chunks(70_001).enumerate() {
        // Large and small ones in turn.
        for part in chunk.chunks(if nth % 2 == 0 { 70_001 } else { 997 }) {
            chunked.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
            chunked.extend_from_slice(part);
            chunked.extend_from_slice(b"\r\n");
        }
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let harness = Harness::new();
    for raw in [known, chunked] {
        let origin = Origin::answering(&raw).await;
        let (_, (body, is_complete)) = harness.get(&origin).await.unwrap();
        assert!(is_complete);
        assert!(body == bytes);
    }
    assert_eq!(
        harness.counted("mcsp_edge_fetch_bytes_total"),
        2.0 * 3_000_017.0
    );
}

#[tokio::test]
async fn bytes_are_given_as_they_come_and_a_wait_may_be_given_up() {
    let harness = Harness::new();
    for (head, last) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc", "def"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "3\r\ndef\r\n0\r\n\r\n",
        ),
    ] {
        let script = vec![Step::Request, send(head), Step::Hold, send(last)];
        let origin = Origin::start(vec![script]).await;
        let mut response = harness
            .fetch(&get(), &target(&[origin.address]))
            .await
            .unwrap();
        assert_eq!(response.next_chunk().await.unwrap().unwrap(), "abc");
        let given_up = tokio::time::timeout(Duration::from_millis(1), response.next_chunk()).await;
        assert!(given_up.is_err());
        origin.go_on();
        assert_eq!(read_rest(&mut response).await, b"def");
        assert!(response.is_complete());
    }
}

async fn read_rest(response: &mut mcsp_edge_fetch::Response) -> Vec<u8> {
    let mut rest = Vec::new();
    while let Some(piece) = response.next_chunk().await.unwrap() {
        rest.extend_from_slice(&piece);
    }
    rest
}
