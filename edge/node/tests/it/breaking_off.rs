//! An origin that breaks its answers off again and again is asked for an object a few times, however many clients want it, and
//! anew a moment later.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Node, wait_for};

const OBJECT_BYTES: usize = 1 << 20;
const CLIENTS: usize = 40;
/// For how long failures of an object's origin count together.
const WINDOW: Duration = Duration::from_secs(2);
/// The failures after which it is left alone, and a first answer that brought enough to be none.
const TRIES: usize = 8 + 1;

/// Sends the beginning of what is asked for, and all of it once it is well.
#[derive(Default)]
struct Frail {
    is_well: AtomicBool,
    has_validator: bool,
    asked: AtomicUsize,
}

impl Frail {
    async fn start(self: &Arc<Self>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let frail = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let frail = Arc::clone(&frail);
                tokio::spawn(async move { frail.answer(stream).await });
            }
        });
        address
    }

    async fn answer(&self, mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                return;
            }
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let from: usize = head
            .split_once("range: bytes=")
            .and_then(|(_, range)| range.split('-').next()?.parse().ok())
            .filter(|_| self.has_validator)
            .unwrap_or(0);
        let length = OBJECT_BYTES - from;
        let etag = if self.has_validator {
            "ETag: \"1\"\r\n"
        } else {
            ""
        };
        let status = if from > 0 {
            let last = OBJECT_BYTES - 1;
            format!("206 Part\r\nContent-Range: bytes {from}-{last}/{OBJECT_BYTES}")
        } else {
            "200 OK".to_owned()
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nCache-Control: max-age=600\r\n{etag}Content-Length: {length}\r\n\
             Connection: close\r\n\r\n"
        );
        let sent = if self.is_well.load(Ordering::SeqCst) {
            length
        } else if from > 0 {
            0
        } else {
            100_000
        };
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(&vec![b'x'; sent]).await;
    }
}

async fn node(frail: &Arc<Frail>) -> (Node, TempDir) {
    let dir = TempDir::new().unwrap();
    let text = format!(
        "state_dir = \"{}\"\nworker_threads = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n\
         [[route]]\nname = \"frail\"\nupstream = \"http://{}\"\n[limits.shed]\nlag_ms = 10000\n",
        dir.path().join("edge-state").display(),
        frail.start().await,
    );
    let node = Node::start_from(dir.path(), "edge", &text).await;
    node.wait_ready().await;
    (node, dir)
}

/// How many bytes of an answer come, if it is one.
async fn get(node: &Node) -> Option<usize> {
    let answer = node.request(Method::GET, "/a").send().await.unwrap();
    let is_well = answer.status() == 200;
    let bytes = answer.bytes().await.ok()?.len();
    is_well.then_some(bytes)
}

async fn clients_of(has_validator: bool) {
    let frail = Arc::new(Frail {
        has_validator,
        ..Frail::default()
    });
    let (node, _dir) = node(&frail).await;
    let started = Instant::now();
    for _ in 0..CLIENTS {
        assert_eq!(get(&node).await, None);
    }
    let windows = started.elapsed().as_millis() / WINDOW.as_millis() + 1;
    let asked = frail.asked.load(Ordering::SeqCst);
    assert!(asked <= windows as usize * TRIES, "{asked} in {windows}");
    // Where a client takes longer than its share of the time, that begins anew before there were enough of them.
    wait_for("an origin that is left alone", || async {
        let left_alone = "mcsp_edge_origin_left_alone_total";
        get(&node).await.is_none() && node.metric(left_alone, &[]).await >= 1.0
    })
    .await;
    // Well again, and asked soon.
    frail.is_well.store(true, Ordering::SeqCst);
    wait_for("the object", || async {
        get(&node).await == Some(OBJECT_BYTES)
    })
    .await;
}

#[tokio::test]
async fn an_origin_that_breaks_off_again_and_again_is_left_alone_for_a_moment() {
    clients_of(true).await;
}

#[tokio::test]
async fn so_is_one_whose_answers_cannot_be_taken_up_again() {
    clients_of(false).await;
}
