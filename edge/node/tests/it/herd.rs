//! A crowd that waits for one fetch, and what becomes of it when that comes to nothing: an origin that fails is asked a few
//! times, not once by each of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use mcsp_api::Residency;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::harness::{Node, RawOrigin, Serve, World, origin_path};

const CROWD: usize = 200;
/// The first, and how many of those who wait may ask after it.
const FETCHES: usize = 3;
/// A machine may be slow; nothing here waits for as long as this.
const PATIENCE: Duration = Duration::from_secs(120);

/// Nobody in the crowd is turned away, and nobody's wait ends by itself.
const CALM: &str = "[proxy]\ncollapse_wait_ms = 60000\n[limits.shed]\nlag_ms = 10000\n";

async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| panic!("never: {what}"))
}

/// What one client is told.
fn ask(address: SocketAddr, path: &str, fields: &str) -> JoinHandle<String> {
    let head = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
    tokio::spawn(async move {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    })
}

fn crowd(node: &Node, path: &str) -> Vec<JoinHandle<String>> {
    (0..CROWD).map(|_| ask(node.plain, path, "")).collect()
}

/// Waits until so many wait for another's fetch.
async fn following(node: &Node, waiting: usize) {
    let joined = async || node.metric("mcsp_cache_joins_total", &["\"follow\""]).await;
    soon("those who follow", async {
        while joined().await < waiting as f64 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

async fn told(crowd: Vec<JoinHandle<String>>) -> Vec<String> {
    let told = soon("the answers", join_all(crowd)).await;
    told.into_iter().map(Result::unwrap).collect()
}

fn with(told: &[String], what: &str) -> usize {
    told.iter().filter(|answer| answer.contains(what)).count()
}

/// How many of those who wait for the nth fetch follow it, and those before it, all in all.
fn followed_by(nth: usize) -> usize {
    (1..=nth).map(|nth| CROWD - nth).sum()
}

#[tokio::test]
async fn an_origin_that_resets_is_asked_by_a_few_of_those_who_wait() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node(CALM).await;
    let crowd = crowd(&node, "/a");
    for nth in 1..=FETCHES {
        let asked = soon("a request", origin.asked()).await;
        following(&node, followed_by(nth)).await;
        drop(asked);
    }
    let told = told(crowd).await;
    assert_eq!(with(&told, "HTTP/1.1 502 "), CROWD, "{}", told[0]);
    assert!(origin.is_idle());
    let shared = (CROWD - FETCHES) as f64;
    node.counts("mcsp_edge_failures_shared_total", &["unusable"], shared)
        .await;
    // Whoever comes then asks, and is the first of another crowd.
    let next = ask(node.plain, "/a", "");
    let asked = soon("a request", origin.asked()).await;
    asked.answer("Cache-Control: max-age=60\r\n", "back").await;
    assert!(soon("an answer", next).await.unwrap().ends_with("back"));
}

#[tokio::test]
async fn one_of_those_who_wait_gets_for_all_what_the_first_did_not() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node(CALM).await;
    let crowd = crowd(&node, "/a");
    let asked = soon("a request", origin.asked()).await;
    following(&node, followed_by(1)).await;
    drop(asked);
    let asked = soon("a request", origin.asked()).await;
    asked.answer("Cache-Control: max-age=60\r\n", "had").await;
    let told = told(crowd).await;
    assert_eq!(with(&told, "\r\n\r\nhad"), CROWD - 1);
    assert_eq!(with(&told, "HTTP/1.1 502 "), 1);
    assert!(origin.is_idle());
}

#[tokio::test]
async fn an_origin_that_says_503_is_asked_by_a_few_of_those_who_wait() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node(CALM).await;
    for round in 0..2 {
        let crowd = crowd(&node, "/a");
        for nth in 1..=FETCHES {
            let asked = soon("a request", origin.asked()).await;
            following(&node, round * followed_by(FETCHES) + followed_by(nth)).await;
            asked.refuse(503).await;
        }
        let told = told(crowd).await;
        assert_eq!(with(&told, "HTTP/1.1 503 "), CROWD);
        assert_eq!(with(&told, "detail=origin-overloaded"), CROWD - FETCHES);
        assert!(origin.is_idle());
    }
}

/// An answer that is somebody's own is one each.
#[tokio::test]
async fn what_may_not_be_shared_each_asks_for() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node(CALM).await;
    let crowd = crowd(&node, "/a");
    let mut asked = soon("a request", origin.asked()).await;
    following(&node, followed_by(1)).await;
    for nth in 1..=CROWD {
        asked.answer("Cache-Control: private\r\n", "own").await;
        if nth < CROWD {
            asked = soon("a request", origin.asked()).await;
        } else {
            break;
        }
    }
    assert_eq!(with(&told(crowd).await, "\r\n\r\nown"), CROWD);
}

/// An origin that has no such part of an object may well have the object.
#[tokio::test]
async fn a_part_that_is_not_there_keeps_nobody_from_sharing_the_whole() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node(CALM).await;
    let part = ask(node.plain, "/a", "Range: bytes=786432-\r\n");
    let asked_part = soon("a request", origin.asked()).await;
    assert_eq!(asked_part.field("range"), ["bytes=786432-"]);
    let crowd = crowd(&node, "/a");
    following(&node, CROWD).await;
    asked_part.refuse(416).await;
    // One of those who wait for the part asks for the whole, and the others wait for that.
    let asked = soon("a request", origin.asked()).await;
    assert!(asked.field("range").is_empty());
    following(&node, CROWD + CROWD - 1).await;
    asked.answer("Cache-Control: max-age=60\r\n", "had").await;
    assert_eq!(with(&told(crowd).await, "\r\n\r\nhad"), CROWD);
    assert!(origin.is_idle());
    let part = soon("an answer", part).await.unwrap();
    assert!(part.starts_with("HTTP/1.1 416 "), "{part}");
}

#[tokio::test]
async fn an_origin_that_cannot_be_reached_is_tried_once_for_all_who_wait() {
    // Takes no connection, and refuses none while it is there: as many wait as may.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let origin = socket.listen(1).unwrap();
    let address = origin.local_addr().unwrap();
    let mut filled = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_secs(2), TcpStream::connect(address)).await
    {
        filled.push(stream);
    }
    let dir = TempDir::new().unwrap();
    let text = format!(
        "state_dir = \"{}\"\nworker_threads = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n\
         [[route]]\nname = \"away\"\nupstream = \"http://{address}\"\n\
         [proxy.upstream]\nconnect_timeout_ms = 60000\n[fetch]\nconnect_timeout_ms = 60000\n{CALM}",
        dir.path().join("edge-state").display(),
    );
    let node = Node::start_from(dir.path(), "edge", &text).await;
    node.wait_ready().await;
    let crowd = crowd(&node, "/a");
    following(&node, followed_by(1)).await;
    drop(origin);
    let told = told(crowd).await;
    assert_eq!(with(&told, "HTTP/1.1 503 "), CROWD, "{}", told[0]);
    assert_eq!(with(&told, "detail=no-origin"), CROWD);
    node.counts("mcsp_edge_fetch_failures_total", &[], 1.0)
        .await;
}

#[tokio::test]
async fn what_stands_in_stands_in_for_all_who_wait() {
    let mut origin = RawOrigin::start().await;
    let (node, _dir) = origin.node(CALM).await;
    let first = ask(node.plain, "/a", "");
    let asked = soon("a request", origin.asked()).await;
    let stale = "Cache-Control: max-age=0, stale-if-error=600\r\nETag: \"1\"\r\n";
    asked.answer(stale, "stale").await;
    soon("an answer", first).await.unwrap();
    let crowd = crowd(&node, "/a");
    let asked = soon("a request", origin.asked()).await;
    following(&node, followed_by(1)).await;
    drop(asked);
    assert_eq!(with(&told(crowd).await, "\r\n\r\nstale"), CROWD);
    assert!(origin.is_idle());
}

/// An origin that says nothing for longer than anybody waits.
#[tokio::test]
async fn an_origin_that_says_nothing_is_asked_by_a_few_of_those_who_wait() {
    let mut origin = RawOrigin::start().await;
    let short = CALM.replace("60000", "1500");
    let (node, _dir) = origin.node(&short).await;
    let crowd = crowd(&node, "/a");
    let mut silent = Vec::new();
    for _ in 1..=FETCHES {
        silent.push(soon("a request", origin.asked()).await);
    }
    // The first three wait for the origin still, the others do not.
    let given_up = async || {
        node.metric("mcsp_edge_failures_shared_total", &["timed_out"])
            .await
    };
    soon("those who wait no longer", async {
        while (given_up().await as usize) < CROWD - FETCHES {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(origin.is_idle());
    for asked in silent {
        asked.answer("Cache-Control: max-age=60\r\n", "late").await;
    }
    let told = told(crowd).await;
    assert_eq!(with(&told, "\r\n\r\nlate"), FETCHES);
    assert_eq!(with(&told, "HTTP/1.1 504 "), CROWD - FETCHES);
}

#[tokio::test]
async fn our_own_origin_that_says_503_is_asked_once_for_all_who_wait() {
    let world = World::new().await;
    let node = world.node_with("los1", CALM).await;
    let turn = Arc::new(Semaphore::new(0));
    let path = origin_path(Residency::Ng, "v360/3.m4s");
    for (round, serve) in [
        Serve::status(503),
        Serve::status(500).with("cache-control", "no-store"),
    ]
    .into_iter()
    .enumerate()
    {
        world.origin.serve(&path, serve.in_turn(&turn));
        let asked = world.media_path(Residency::Ng, "v360/3.m4s");
        let crowd = crowd(&node, &asked);
        following(&node, (round + 1) * followed_by(1)).await;
        turn.add_permits(CROWD);
        let told = told(crowd).await;
        assert_eq!(with(&told, "HTTP/1.1 50"), CROWD, "{}", told[0]);
        turn.forget_permits(CROWD);
        assert_eq!(world.origin.count(&path), round + 1);
    }
}
