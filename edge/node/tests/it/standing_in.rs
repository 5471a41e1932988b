//! What is held in place of what an origin fails to give: for a head as for the whole, and only where it has what is asked for.
//! An origin that fails is not asked the more for it.

use reqwest::{Method, RequestBuilder, Response};
use tokio::task::JoinHandle;

use crate::harness::{Node, RawOrigin, cache_status, header, wait_for, within};

/// What is held of an object: its fourth slice.
const PART_AT: usize = 786_432;
const PART_BYTES: usize = 262_144;
const TOTAL_BYTES: usize = 2_000_000;
const CROWD: usize = 20;
/// The first, and how many of those who wait may ask after it.
const FETCHES: usize = 3;
/// Nobody's wait ends by itself.
const CALM: &str = "[proxy]\ncollapse_wait_ms = 60000\n[limits.shed]\nlag_ms = 10000\n";
/// Past its life at once.
const STALE: &str = "Cache-Control: max-age=0, stale-if-error=600\r\nETag: \"1\"\r\n";

fn send(request: RequestBuilder) -> JoinHandle<Response> {
    tokio::spawn(async move { request.send().await.unwrap() })
}

fn part(node: &Node, range: &str) -> RequestBuilder {
    node.request(Method::GET, "/film").header("range", range)
}

/// Has a node hold one slice, with `fields`.
async fn hold_a_part(node: &Node, origin: &mut RawOrigin, fields: &str) {
    let first = send(part(node, "bytes=1000000-1000009"));
    let last = PART_AT + PART_BYTES - 1;
    let mut asked = origin.asked().await;
    assert_eq!(asked.field("range"), [format!("bytes={PART_AT}-{last}")]);
    asked
        .write(&format!(
            "HTTP/1.1 206 Part\r\nCache-Control: max-age=600\r\n{fields}\
             Content-Range: bytes {PART_AT}-{last}/{TOTAL_BYTES}\r\n\
             Content-Length: {PART_BYTES}\r\nConnection: close\r\n\r\n{}",
            "x".repeat(PART_BYTES),
        ))
        .await;
    let first = within("the part", first).await.unwrap();
    assert_eq!(first.status(), 206);
    assert_eq!(first.bytes().await.unwrap().len(), 10);
    wait_for("the part to be stored", async || {
        node.metric("mcsp_cache_fills_total", &["\"part\""]).await > 0.0
    })
    .await;
}

/// Without a validator nothing can be added to it.
#[tokio::test]
async fn a_part_that_is_held_is_no_reason_for_each_who_waited_in_vain_to_ask_again() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node(CALM).await;
    hold_a_part(&node, &mut origin, "").await;
    let crowd: Vec<_> = (0..CROWD)
        .map(|_| send(part(&node, "bytes=0-99")))
        .collect();
    let mut following = 0;
    for nth in 1..=FETCHES {
        let asked = origin.asked().await;
        following += CROWD - nth;
        wait_for("those who wait", async || {
            node.metric("mcsp_cache_joins_total", &["\"follow\""]).await >= following as f64
        })
        .await;
        asked.refuse(503).await;
    }
    let told = tokio::select! {
        told = futures::future::join_all(crowd) => told,
        asked = origin.asked() => panic!("it is asked again: {}", asked.head),
    };
    for answer in told {
        assert_eq!(answer.unwrap().status(), 503);
    }
    assert!(origin.is_idle());
}

#[tokio::test]
async fn an_origin_that_fails_to_give_what_a_body_lacks_is_left_alone_for_a_moment() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node(CALM).await;
    hold_a_part(&node, &mut origin, "ETag: \"1\"\r\n").await;
    let failing = tokio::spawn(async move {
        loop {
            drop(origin.asked().await);
        }
    });
    wait_for("an origin that is left alone", async || {
        // All within the time in which failures count together, also where looking takes long.
        for _ in 0..8 {
            let answer = part(&node, "bytes=0-99").send().await.unwrap();
            assert!(answer.status().is_server_error(), "{answer:?}");
        }
        let left_alone = "mcsp_edge_origin_left_alone_total";
        node.metric(left_alone, &["\"rest\""]).await >= 1.0
    })
    .await;
    // What is held of it is served all the while.
    let held = part(&node, "bytes=1000000-1000009").send().await.unwrap();
    assert_eq!(held.status(), 206);
    failing.abort();
}

/// What is served while it is asked whether it is still good has each who gets it ask, one after the other.
#[tokio::test]
async fn an_origin_that_breaks_off_what_would_be_newer_is_left_alone_for_a_moment() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node(CALM).await;
    let first = send(node.request(Method::GET, "/a"));
    let asked = origin.asked().await;
    asked
        .answer(
            "Cache-Control: max-age=0, stale-while-revalidate=600\r\n",
            "old",
        )
        .await;
    within("an answer", first).await.unwrap();
    let failing = tokio::spawn(async move {
        loop {
            let mut asked = origin.asked().await;
            let head =
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 1000\r\n\r\nn";
            asked.write(head).await;
        }
    });
    wait_for("an origin that is left alone", async || {
        for _ in 0..40 {
            let answer = node.request(Method::GET, "/a").send().await.unwrap();
            assert_eq!(answer.text().await.unwrap(), "old");
        }
        let left_alone = "mcsp_edge_origin_left_alone_total";
        node.metric(left_alone, &["\"refresh\""]).await >= 1.0
    })
    .await;
    failing.abort();
}

/// A node of `extra` that holds `/a`, past its life.
async fn stale(origin: &mut RawOrigin, extra: &str) -> (Node, tempfile::TempDir) {
    let (node, dir) = origin.node(extra).await;
    let first = send(node.request(Method::GET, "/a"));
    let asked = origin.asked().await;
    asked.answer(STALE, "stale").await;
    let first = within("an answer", first).await.unwrap();
    assert_eq!(first.text().await.unwrap(), "stale");
    (node, dir)
}

fn is_stale(answer: &Response) {
    let status = cache_status(answer);
    assert_eq!(answer.status(), 200, "{status}");
    assert_eq!(header(answer.headers(), "content-length"), Some("5"));
    assert!(status.contains("detail=stale-if-error"), "{status}");
}

#[tokio::test]
async fn a_head_that_is_held_stands_in_for_an_origin_that_fails() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = stale(&mut origin, "").await;
    for status in [503, 500] {
        let head = send(node.request(Method::HEAD, "/a"));
        origin.asked().await.refuse(status).await;
        is_stale(&within("an answer", head).await.unwrap());
    }
    let head = send(node.request(Method::HEAD, "/a"));
    drop(origin.asked().await);
    is_stale(&within("an answer", head).await.unwrap());
    // What says that it is gone has not failed.
    let head = send(node.request(Method::HEAD, "/a"));
    origin.asked().await.refuse(404).await;
    assert_eq!(within("an answer", head).await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_head_that_is_held_is_not_waited_for_long() {
    let mut origin = RawOrigin::start().await;
    let slow = "[proxy]\nstale_wait_ms = 50\n[fetch]\nhead_timeout_ms = 600000\n";
    let (node, _dir) = stale(&mut origin, slow).await;
    let head = send(node.request(Method::HEAD, "/a"));
    let silent = origin.asked().await;
    is_stale(&within("an answer", head).await.unwrap());
    // It was given up with the wait, and told for all that its origin says nothing.
    silent.given_up().await;
    let head = send(node.request(Method::HEAD, "/a"));
    is_stale(&within("an answer", head).await.unwrap());
    node.counts("mcsp_edge_not_waited_total", &["\"silent\""], 1.0)
        .await;
}
