//! Clients that take their time: with a handshake, a request's head, its body, or the next request.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Node, Serve, World, wait_for, within};

/// What clients may take, ms.
const ALLOWED_MS: u64 = 1000;

/// Takes what comes, all of it, and says how much that was.
async fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = |request: Request| async {
        let body = to_bytes(request.into_body(), 1 << 20).await;
        body.map_or_else(|error| error.to_string(), |body| body.len().to_string())
    };
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A node before a plain origin.
async fn node(extra: &str) -> (Node, TempDir) {
    let dir = TempDir::new().unwrap();
    let origin = origin().await;
    let text = format!(
        "state_dir = \"{}\"\nworker_threads = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n\
         [[route]]\nname = \"old\"\nupstream = \"http://{origin}\"\n{extra}",
        dir.path().join("edge-state").display(),
    );
    let node = Node::start_from(dir.path(), "edge", &text).await;
    node.wait_ready().await;
    (node, dir)
}

/// Everything that comes until the node ends the connection.
async fn to_the_end(stream: &mut TcpStream) -> String {
    let mut told = Vec::new();
    // It may end with a reset.
    let _ = within("the end", stream.read_to_end(&mut told)).await;
    String::from_utf8_lossy(&told).into_owned()
}

/// It took no less than clients may take. `started` is before the connection was there: this thread may have stood still since.
fn was_waited_for(started: Instant) {
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(ALLOWED_MS - 50), "{took:?}");
}

async fn counted(node: &Node, name: &str, label: &str) {
    wait_for(label, || async {
        node.metric(name, &[&format!("\"{label}\"")]).await >= 1.0
    })
    .await;
}

#[tokio::test]
async fn a_head_that_does_not_end_is_answered_408() {
    let (node, _dir) = node(&format!("[h1]\nhead_timeout_ms = {ALLOWED_MS}\n")).await;
    let started = Instant::now();
    let mut stream = TcpStream::connect(node.plain).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-A")
        .await
        .unwrap();
    let told = to_the_end(&mut stream).await;
    assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
    assert!(
        told.to_ascii_lowercase().contains("connection: close"),
        "{told}"
    );
    was_waited_for(started);
    counted(&node, "mcsp_edge_h1_refused_total", "head_timeout").await;
    // Dripping does not help: the time is that of the whole head.
    let mut stream = TcpStream::connect(node.plain).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let drip = async {
        for byte in b"GET / HTTP/1.1\r\nHost: a\r\n"
            .iter()
            .chain([b'x'; 400].iter())
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    };
    let mut told = [0; 12];
    tokio::select! {
        read = reader.read_exact(&mut told) => { read.unwrap(); }
        () = drip => panic!("the whole head was read"),
    }
    assert_eq!(&told, b"HTTP/1.1 408");
}

#[tokio::test]
async fn a_connection_on_which_nothing_comes_ends_without_a_word() {
    let limits = format!("[h1]\nhead_timeout_ms = {ALLOWED_MS}\nidle_timeout_ms = {ALLOWED_MS}\n");
    let (node, _dir) = node(&limits).await;
    let mut silent = TcpStream::connect(node.plain).await.unwrap();
    assert_eq!(to_the_end(&mut silent).await, "");
    let started = Instant::now();
    let mut stream = TcpStream::connect(node.plain).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let told = to_the_end(&mut stream).await;
    assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
    assert_eq!(told.matches("HTTP/1.1 ").count(), 1, "{told}");
    was_waited_for(started);
    counted(&node, "mcsp_edge_h1_closed_total", "idle").await;
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_ends() {
    let world = World::new().await;
    let extra = format!("[connections]\nhandshake_timeout_ms = {ALLOWED_MS}\n");
    let node = world.node_with("los1", &extra).await;
    for sent in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(node.tls).await.unwrap();
        stream.write_all(sent).await.unwrap();
        assert_eq!(to_the_end(&mut stream).await, "");
    }
    counted(&node, "mcsp_edge_connections_total", "handshake_timeout").await;
}

/// Sends a request's head and the beginning of its body, and then a byte each `pace` until there is an answer.
async fn slow_body(address: SocketAddr, path: &str, pace: Duration) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{{\"a\":\""
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let drip = async {
        loop {
            tokio::time::sleep(pace).await;
            if writer.write_all(b"x").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut told = [0; 12];
    let answered = async {
        tokio::select! {
            read = reader.read_exact(&mut told) => { read.unwrap(); }
            () = drip => {}
        }
    };
    within("an answer", answered).await;
    String::from_utf8_lossy(&told).into_owned()
}

const NEVER: Duration = Duration::from_secs(60);
const DRIP: Duration = Duration::from_millis(40);

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_answered_408() {
    let limits = format!("[proxy.limits]\nclient_read_timeout_ms = {ALLOWED_MS}\n");
    // As it passes to the origin, and as the firewall reads it first.
    let (passing, dir) = node(&limits).await;
    let rules = dir.path().join("rules.conf");
    std::fs::write(
        &rules,
        "SecRule ARGS \"@contains attack\" \"id:1001,phase:2,deny\"\n",
    )
    .unwrap();
    let waf = format!(
        "{limits}[waf.rules]\nfiles = [{:?}]\n",
        rules.display().to_string()
    );
    let (inspecting, _dir) = node(&waf).await;
    for node in [&passing, &inspecting] {
        for pace in [NEVER, DRIP] {
            assert_eq!(slow_body(node.plain, "/form", pace).await, "HTTP/1.1 408");
        }
        let logged = || async { node.log().matches("\"detail\":\"slow-body\"").count() == 2 };
        wait_for("the log", logged).await;
    }
}

#[tokio::test]
async fn a_name_and_a_password_that_come_too_slowly_are_answered_408() {
    let world = World::new().await;
    let limits = format!("[proxy.limits]\nclient_read_timeout_ms = {ALLOWED_MS}\n");
    let node = world.node_with("los1", &limits).await;
    world.origin.serve("/api/v1/auth/login", Serve::ok("{}"));
    for pace in [NEVER, DRIP] {
        let told = slow_body(node.plain, "/api/v1/auth/login", pace).await;
        assert_eq!(told, "HTTP/1.1 408");
    }
    assert_eq!(world.origin.count("/api/v1/auth/login"), 0);
}
