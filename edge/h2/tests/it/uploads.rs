//! Bodies of requests.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};

use crate::conformance::{DATA, END_HEADERS, HEADERS, RESET, Raw, WINDOW, frame, request};
use crate::site::{BOUND, Talk, bytes};

fn post(path: &str) -> Request<()> {
    let uri = format!("https://a.example{path}");
    Request::post(uri).body(()).unwrap()
}

/// Sends a body as its server gives room; what it says of its length.
async fn upload(talk: &Talk, path: &str, length: usize, trailers: Option<HeaderMap>) -> usize {
    let mut client = talk.client.clone().ready().await.unwrap();
    let (answer, mut stream) = client.send_request(post(path), false).unwrap();
    let work = async {
        let mut body = bytes(length);
        while !body.is_empty() {
            stream.reserve_capacity(body.len());
            let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
            let piece = body.split_to(room.unwrap().unwrap().min(body.len()));
            let is_end = body.is_empty() && trailers.is_none();
            stream.send_data(piece, is_end).unwrap();
        }
        match trailers {
            Some(trailers) => stream.send_trailers(trailers).unwrap(),
            None if length == 0 => stream.send_data(Bytes::new(), true).unwrap(),
            None => {}
        }
        let answer = answer.await.unwrap();
        answer.headers()["x-length"].to_str().unwrap().parse()
    };
    tokio::time::timeout(BOUND, work).await.unwrap().unwrap()
}

#[tokio::test]
async fn bodies_come_whole() {
    let talk = Talk::new(65_535).await;
    for length in [0, 1, 16_384, 65_535, 65_536, 300_000, 5_000_000] {
        assert_eq!(upload(&talk, "/upload", length, None).await, length);
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        let with = upload(&talk, "/upload", length, Some(trailers)).await;
        assert_eq!(with, length);
    }
    let both = tokio::join!(
        upload(&talk, "/upload", 3_000_000, None),
        upload(&talk, "/upload", 2_000_000, None),
    );
    assert_eq!(both, (3_000_000, 2_000_000));
}

/// What nobody reads is not taken in, and keeps nobody else waiting.
#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_reads_is_held_back() {
    let talk = Talk::new(65_535).await;
    let mut client = talk.client.clone().ready().await.unwrap();
    let (answer, mut stream) = client.send_request(post("/gated"), false).unwrap();
    stream.send_data(bytes(2_000_000), true).unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    // The client's queue holds what the stream's window has no room for.
    assert_eq!(stream.capacity(), 0);
    assert_eq!(upload(&talk, "/upload", 3_000_000, None).await, 3_000_000);
    talk.site.gate.notify_one();
    let answer = tokio::time::timeout(BOUND, answer).await.unwrap().unwrap();
    assert_eq!(answer.headers()["x-length"], "2000000");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_seen_to() {
    let talk = Talk::new(65_535).await;
    let mut client = talk.client.clone().ready().await.unwrap();
    let (_answer, mut stream) = client.send_request(post("/upload"), false).unwrap();
    stream.send_data(bytes(1_000), false).unwrap();
    while talk.site.taken.load(Ordering::SeqCst) < 1_000 {
        tokio::task::yield_now().await;
    }
    stream.send_reset(h2::Reason::CANCEL);
    while talk.site.gone.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
}

/// Answers and requests that nobody reads give their room in the connection's window back.
#[tokio::test]
async fn bodies_that_are_passed_over_take_no_room_for_ever() {
    let mut talk = Talk::new(65_535).await;
    for _ in 0..40 {
        let mut client = talk.client.clone().ready().await.unwrap();
        let (answer, mut stream) = client.send_request(post("/full/1"), false).unwrap();
        // More than there is room for: it ends with the reset that asks for no more.
        stream.send_data(bytes(200_000), true).unwrap();
        let answer = tokio::time::timeout(BOUND, answer).await.unwrap();
        assert_eq!(answer.unwrap().status(), 200);
    }
    assert!(talk.get("/full/1").await.is_ok());
    assert_eq!(upload(&talk, "/upload", 2_000_000, None).await, 2_000_000);
}

/// The same of requests that are taken back, with what has come of their bodies, before anybody has looked at them.
#[tokio::test]
async fn bodies_that_are_taken_back_take_no_room_for_ever() {
    let mut raw = Raw::with(&[]).await;
    // More than half of the connection's window, after which its client is told of more room.
    let (piece, times) = (3_000, 200);
    for nth in 0..times {
        let stream = 2 * nth + 1;
        let asked = frame(
            HEADERS,
            END_HEADERS,
            stream,
            &request("POST", "/upload", &[]),
        );
        let some = frame(DATA, 0, stream, &vec![7; piece]);
        let taken_back = frame(RESET, 0, stream, &[0, 0, 0, 8]);
        raw.send(&[asked, some, taken_back].concat()).await;
        assert!(raw.round(*b"and next").await);
    }
    let told = raw
        .seen
        .iter()
        .filter(|seen| (seen.kind, seen.stream) == (WINDOW, 0));
    // The first makes the window what it is.
    assert_eq!(told.count(), 2);
}
