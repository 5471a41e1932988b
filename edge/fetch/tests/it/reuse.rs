//! Which connections are used again.

use http::Method;

use crate::harness::{Harness, get, read, request, target};
use crate::origin::{Origin, Step, send};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn connections_of_two(first: &str) -> usize {
    let harness = Harness::new();
    let origin = Origin::start(vec![
        vec![Step::Request, send(first), Step::Request, send(OK)],
        vec![Step::Request, send(OK)],
    ])
    .await;
    let target = target(&[origin.address]);
    for _ in 0..2 {
        let mut response = harness.fetch(&get(), &target).await.unwrap();
        read(&mut response).await.unwrap();
    }
    origin.seen().connections
}

#[tokio::test]
async fn only_after_an_answer_whose_end_is_certain_and_which_allows_it() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let old = "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\ncontent-length: 2\r\n\r\nok";
    for first in [OK, chunked, old] {
        assert_eq!(connections_of_two(first).await, 1, "{first:?}");
    }
    for first in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: x, Close\r\n\r\nok",
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        // More than was announced: whatever it is, it answers nothing that we ask.
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\nbody",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nmore",
    ] {
        assert_eq!(connections_of_two(first).await, 2, "{first:?}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced_and_nobody_is_blamed() {
    let harness = Harness::new();
    // The origin reads the second request and closes without a word: as if it had closed just before.
    let origin = Origin::start(vec![
        vec![Step::Request, send(OK), Step::Request],
        vec![Step::Request, send(OK)],
    ])
    .await;
    let target = target(&[origin.address]);
    for _ in 0..2 {
        let mut response = harness.fetch(&get(), &target).await.unwrap();
        assert_eq!(read(&mut response).await.unwrap().0, b"ok");
    }
    assert_eq!(origin.seen().connections, 2);
    assert_eq!(origin.seen().requests.len(), 3);
    assert_eq!(harness.counted("mcsp_edge_fetch_failures_total"), 0.0);
}

#[tokio::test]
async fn what_may_have_been_received_and_may_not_be_repeated_is_not() {
    let harness = Harness::new();
    let origin = Origin::start(vec![
        vec![Step::Request, send(OK), Step::Request],
        vec![Step::Request, send(OK)],
    ])
    .await;
    let target = target(&[origin.address]);
    let mut response = harness.fetch(&get(), &target).await.unwrap();
    read(&mut response).await.unwrap();
    let error = harness
        .fetch(&request(Method::POST), &target)
        .await
        .unwrap_err();
    assert!(!error.is_unsent());
    assert_eq!(origin.seen().requests.len(), 2);
}

#[tokio::test]
async fn an_answer_that_is_dropped_ends_its_connection() {
    let harness = Harness::new();
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc";
    let origin = Origin::start(vec![vec![Step::Request, send(head), Step::AwaitClose]]).await;
    let mut response = harness
        .fetch(&get(), &target(&[origin.address]))
        .await
        .unwrap();
    assert_eq!(response.next_chunk().await.unwrap().unwrap(), "abc");
    drop(response);
    origin.until(|seen| seen.closed == 1).await;
}
