//! Clients that go before their answer keep no origin busy, and answers that fail before their body are told of as such.

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Node, RawOrigin, wait_for, within};

/// A client that asks, and waits for no answer yet.
async fn ask(node: &Node, path: &str, fields: &str) -> TcpStream {
    let mut client = TcpStream::connect(node.plain).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    client
}

async fn answer(mut client: TcpStream) -> String {
    let mut answer = Vec::new();
    let read = client.read_to_end(&mut answer);
    within("an answer", read).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

async fn read_to(client: &mut TcpStream, end: &str) {
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        let read = within("more", client.read_buf(&mut answer)).await.unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
    }
}

async fn gone(node: &Node, clients: f64) {
    wait_for("clients that are gone", || async {
        node.metric("mcsp_edge_clients_gone_total", &["raw"]).await >= clients
    })
    .await;
}

#[tokio::test]
async fn a_fetch_ends_with_the_last_client_that_waits_for_its_head() {
    let mut origin = RawOrigin::start().await;
    let (node, dir) = origin.node("").await;
    let first = ask(&node, "/a", "").await;
    let asked = origin.asked().await;
    let second = ask(&node, "/a", "").await;
    wait_for("one that follows", || async {
        node.metric("mcsp_cache_joins_total", &["\"follow\""]).await >= 1.0
    })
    .await;
    drop(first);
    gone(&node, 1.0).await;
    // The other still waits, and gets it.
    asked.answer("Cache-Control: max-age=60\r\n", "a").await;
    assert!(answer(second).await.ends_with("\r\n\r\na"));

    let clients = [ask(&node, "/b", "").await, ask(&node, "/b", "").await];
    let asked = origin.asked().await;
    wait_for("one that follows", || async {
        node.metric("mcsp_cache_joins_total", &["\"follow\""]).await >= 2.0
    })
    .await;
    drop(clients);
    asked.given_up().await;
    gone(&node, 3.0).await;
    wait_for("the fetch is counted", || async {
        node.metric("mcsp_edge_fetches_given_up_total", &[]).await > 0.0
    })
    .await;
    // Who comes then is the first.
    let third = ask(&node, "/b", "").await;
    origin
        .asked()
        .await
        .answer("Cache-Control: max-age=60\r\n", "b")
        .await;
    assert!(answer(third).await.ends_with("\r\n\r\nb"));
    assert!(origin.is_idle());
    wait_for("what the log says of them", || async {
        let log = std::fs::read_to_string(dir.path().join("edge.log")).unwrap();
        let is_theirs = |line: &&str| {
            line.contains("\"status\":499")
                && line.contains("\"outcome\":\"aborted\"")
                && line.contains("\"detail\":\"client-closed\"")
        };
        log.lines().filter(is_theirs).count() == 3
    })
    .await;
}

#[tokio::test]
async fn what_is_asked_for_one_client_ends_with_it() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node("").await;
    // Nobody waits for one another under a key whose answer was somebody's own.
    let client = ask(&node, "/own", "").await;
    let own = "Cache-Control: private\r\n";
    origin.asked().await.answer(own, "").await;
    answer(client).await;
    for fields in ["", "Range: bytes=0-0\r\n"] {
        let client = ask(&node, "/own", fields).await;
        let asked = origin.asked().await;
        drop(client);
        asked.given_up().await;
    }
    // One whose head has come, and whose body has not.
    let client = ask(&node, "/own", "").await;
    let mut asked = origin.asked().await;
    asked
        .write("HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 9\r\n\r\n")
        .await;
    drop(client);
    asked.given_up().await;
    gone(&node, 3.0).await;
}

/// What the log says of answers that their clients have left.
async fn left(dir: &TempDir, answers: usize) {
    wait_for("what the log says", || async {
        let log = std::fs::read_to_string(dir.path().join("edge.log")).unwrap();
        let is_left = |line: &&str| line.contains("gone before its answer was whole");
        log.lines().filter(is_left).count() == answers
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_within_its_answer_is_not_served_on() {
    let mut origin = RawOrigin::start().await;
    let (node, dir) = origin.node("").await;
    // What is its own ends with it.
    let mut client = ask(&node, "/own", "").await;
    let mut asked = origin.asked().await;
    asked
        .write("HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 9\r\n\r\nhalf")
        .await;
    read_to(&mut client, "half").await;
    drop(client);
    asked.given_up().await;
    left(&dir, 1).await;
    // What is everybody's goes on, but not for it.
    let mut client = ask(&node, "/a", "").await;
    let mut asked = origin.asked().await;
    asked
        .write("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\nhalf")
        .await;
    read_to(&mut client, "half").await;
    drop(client);
    left(&dir, 2).await;
    asked.write("!").await;
    wait_for("the object", || async {
        node.state("http://a/a").await == "fresh"
    })
    .await;
}

/// RFC 9112 section 9.6: it may still want its answer.
#[tokio::test]
async fn a_client_that_ends_its_side_gets_what_comes_soon() {
    let mut origin = RawOrigin::start().await;
    let (node, dir) = origin.node("[h1]\nhalf_closed_wait_ms = 4000\n").await;
    let mut client = ask(&node, "/own", "").await;
    client.shutdown().await.unwrap();
    let mut asked = origin.asked().await;
    asked
        .write("HTTP/1.1 200 OK\r\nCache-Control: private\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhalf")
        .await;
    read_to(&mut client, "half").await;
    asked.write("!").await;
    assert_eq!(answer(client).await, "!");
    drop(asked);
    // And not what does not.
    let mut client = ask(&node, "/own", "").await;
    client.shutdown().await.unwrap();
    let mut asked = origin.asked().await;
    asked
        .write("HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 5\r\n\r\nhalf")
        .await;
    read_to(&mut client, "half").await;
    left(&dir, 1).await;
    asked.given_up().await;
}

#[tokio::test]
async fn a_fill_that_has_begun_goes_on_without_its_client() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node("").await;
    let client = ask(&node, "/a", "").await;
    let mut asked = origin.asked().await;
    asked
        .write("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 2\r\n\r\n")
        .await;
    wait_for("a fill", || async {
        node.state("http://a/a").await == "filling"
    })
    .await;
    drop(client);
    gone(&node, 1.0).await;
    asked.write("ab").await;
    wait_for("the object", || async {
        node.state("http://a/a").await == "fresh"
    })
    .await;
}

#[tokio::test]
async fn a_body_that_fails_before_its_first_byte_is_a_502_to_all_who_wait_for_it() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node("").await;
    let clients = [ask(&node, "/a", "").await, ask(&node, "/a", "").await];
    let mut asked = origin.asked().await;
    wait_for("one that follows", || async {
        node.metric("mcsp_cache_joins_total", &["\"follow\""]).await >= 1.0
    })
    .await;
    asked
        .write("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1000\r\n\r\n")
        .await;
    drop(asked);
    for client in clients {
        let answer = answer(client).await;
        assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
        assert!(answer.contains("detail=body-broke-off"), "{answer}");
    }
    assert!(origin.is_idle(), "who waited does not ask for himself");
}

#[tokio::test]
async fn what_is_held_stands_in_for_a_body_that_fails_before_its_first_byte() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node("").await;
    let held = "Cache-Control: max-age=0, stale-if-error=60\r\nETag: \"1\"\r\n";
    let client = ask(&node, "/a", "").await;
    origin.asked().await.answer(held, "held").await;
    answer(client).await;
    wait_for("the object", || async {
        node.state("http://a/a").await == "stale"
    })
    .await;
    let client = ask(&node, "/a", "").await;
    let mut asked = origin.asked().await;
    asked
        .write("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 9\r\n\r\n")
        .await;
    drop(asked);
    let covered = answer(client).await;
    assert!(covered.ends_with("\r\n\r\nheld"), "{covered}");
    assert!(covered.contains("detail=stale-if-error"), "{covered}");
}

/// RFC 9112 section 9.6: what it has sent beyond is not answered by a reset, which could cut the last answer off.
#[tokio::test]
async fn an_answer_in_an_origins_place_reaches_a_client_that_has_asked_for_more() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node("").await;
    let mut client = TcpStream::connect(node.plain).await.unwrap();
    let first = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx";
    let more = "GET /p HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3_000);
    client.write_all(first.as_bytes()).await.unwrap();
    client.write_all(more.as_bytes()).await.unwrap();
    drop(origin.asked().await);
    let answer = answer(client).await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
}
