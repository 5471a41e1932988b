//! A node with little memory before objects that do not fit: answers wait for one another, and none is cut.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use reqwest::Method;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::harness::{Node, within};

const OBJECT_BYTES: usize = 2 << 20;
const OBJECTS: usize = 48;
const CONNECTIONS: usize = 16;

/// Of objects that differ from their first byte on.
fn body_of(path: &str) -> Bytes {
    let salt = path
        .bytes()
        .fold(7_u8, |salt, byte| salt.wrapping_mul(31).wrapping_add(byte));
    (0..OBJECT_BYTES)
        .map(|n| (n % 251) as u8 ^ salt)
        .collect::<Vec<u8>>()
        .into()
}

async fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = |request: Request| async move {
        Response::builder()
            .header("cache-control", "max-age=600")
            .body(Body::from(body_of(request.uri().path())))
            .unwrap()
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    address
}

/// 16 MiB of memory for 96 MiB of objects, which the disk holds, and whose origin could not go on in the middle of one:
/// it has no validators.
async fn node(dir: &std::path::Path) -> Node {
    let text = format!(
        "state_dir = \"{}\"\nworker_threads = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n\
         [cache]\nmemory_bytes = 16777216\nobject_bytes_max = 4194304\nfill_bytes_max = 8388608\n\
         pinned_bytes_max = 8388608\n[cache.disk]\ndir = \"{}\"\nbytes = 536870912\nread_timeout_ms = 30000\n\
         [[route]]\nname = \"old\"\nupstream = \"http://{}\"\n",
        dir.join("edge-state").display(),
        dir.join("cache").display(),
        origin().await,
    );
    let node = Node::start_from(dir, "edge", &text).await;
    node.wait_ready().await;
    node
}

#[tokio::test]
async fn no_answer_is_cut_because_memory_is_full() {
    let dir = tempfile::TempDir::new().unwrap();
    let node = node(dir.path()).await;
    // The first round fills, the others find most of it on disk.
    for round in 0..3 {
        let mut clients = JoinSet::new();
        for client in 0..CONNECTIONS {
            let requests: Vec<_> = (0..OBJECTS / CONNECTIONS)
                .map(|n| format!("/o/{}", client + n * CONNECTIONS))
                .map(|path| (node.request(Method::GET, &path), path))
                .collect();
            clients.spawn(async move {
                for (request, path) in requests {
                    let mut answer = request.send().await.unwrap();
                    assert_eq!(answer.status(), 200);
                    let mut body = Vec::new();
                    while let Some(piece) = answer
                        .chunk()
                        .await
                        .unwrap_or_else(|error| panic!("round {round}, {path}: {error}"))
                    {
                        // Clients are slower than the disk: each holds some of its answer.
                        if body.len() / (64 << 10) != (body.len() + piece.len()) / (64 << 10) {
                            tokio::time::sleep(Duration::from_millis(2)).await;
                        }
                        body.extend_from_slice(&piece);
                    }
                    assert!(body == body_of(&path), "round {round}, {path}: other bytes");
                }
            });
        }
        let all = async {
            while let Some(client) = clients.join_next().await {
                client.unwrap();
            }
        };
        within("the end of all answers", all).await;
        assert!(node.metric("mcsp_cache_used_bytes", &[]).await <= 16_777_216.0);
    }
}

/// Reads one answer: its head and as many bytes as that declares.
async fn read_answer(client: &mut BufReader<TcpStream>) -> (String, Vec<u8>) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(client.read_line(&mut head).await.unwrap() > 0, "{head}");
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.split("content-length: ").nth(1).unwrap();
    let length = length.split("\r\n").next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    client.read_exact(&mut body).await.unwrap();
    (head, body)
}

/// What was read and checked once is sent from where it lies the next time: whole, in part, one answer after the other, and to
/// clients that leave.
#[tokio::test]
async fn what_the_disk_has_is_sent_as_it_lies_in_every_form() {
    let dir = tempfile::TempDir::new().unwrap();
    let node = node(dir.path()).await;
    let sent_so = || async {
        let reads = "mcsp_cache_disk_reads_total";
        node.metric(reads, &["outcome=\"in_place\""]).await
    };
    let path = |n: usize| format!("/o/{n}");
    // It fills, it checks, it sends. One after the other there are always too many to be worth memory.
    for round in 0..4 {
        for n in 0..OBJECTS {
            let answer = node.request(Method::GET, &path(n)).send().await.unwrap();
            let body = answer.bytes().await.unwrap();
            assert!(body == body_of(&path(n)), "round {round}, {n}");
        }
    }
    let before = sent_so().await;
    assert!(before >= 20.0, "{before} chunks");

    let address = node.plain;
    for n in 0..OBJECTS / 2 {
        let (path, body) = (path(n), body_of(&path(n)));
        let get = |more: &str| format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{more}\r\n");
        let requests = [
            get("Range: bytes=300001-1500000\r\n"),
            get(""),
            get("").replace("GET", "HEAD"),
            get("Range: bytes=-70000\r\n"),
            get("Range: bytes=5-70004,1000000-1200000\r\n"),
            get("Connection: close\r\n"),
        ];
        let client = TcpStream::connect(address).await.unwrap();
        let mut client = BufReader::new(client);
        client
            .write_all(requests.concat().as_bytes())
            .await
            .unwrap();
        let (head, part) = read_answer(&mut client).await;
        assert!(head.starts_with("HTTP/1.1 206 "), "{head}");
        assert!(part == body[300_001..=1_500_000]);
        assert!(read_answer(&mut client).await.1 == body);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            client.read_line(&mut head).await.unwrap();
        }
        assert!(head.contains(&OBJECT_BYTES.to_string()), "{head}");
        assert!(read_answer(&mut client).await.1 == body[OBJECT_BYTES - 70_000..]);
        let (head, parts) = read_answer(&mut client).await;
        assert!(head.contains("multipart/byteranges"), "{head}");
        for part in [&body[5..=70_004], &body[1_000_000..=1_200_000]] {
            let is_there = |at: usize| parts[at..].starts_with(part);
            assert!((0..parts.len()).any(is_there), "{n}: a part is missing");
        }
        assert!(read_answer(&mut client).await.1 == body);

        let mut leaving = TcpStream::connect(address).await.unwrap();
        leaving.write_all(get("").as_bytes()).await.unwrap();
        leaving.read_exact(&mut [0; 50_000]).await.unwrap();
    }
    assert!(sent_so().await > before);
}
