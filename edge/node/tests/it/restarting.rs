//! What a node's disk holds outlives the node, however it ends.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpListener;

use crate::harness::{Node, cache_status, get, header, wait_for};

/// Two chunks and a little, so that the head's record is not all there is.
const BODY_BYTES: usize = 600_000;

fn body() -> Vec<u8> {
    (0..BODY_BYTES).map(|n| (n % 251) as u8).collect()
}

/// Counts who asks.
async fn origin(asked: &Arc<AtomicUsize>) -> SocketAddr {
    let answer = |State(asked): State<Arc<AtomicUsize>>, uri: Uri| async move {
        asked.fetch_add(1, Ordering::SeqCst);
        let answer = Response::builder()
            .header("cache-control", "max-age=600")
            .header("surrogate-key", "a b")
            .header("etag", "\"1\"");
        let answer = match uri.path() {
            "/varied" => answer.header("vary", "accept-encoding"),
            "/spoken" => answer
                .header("vary", "accept-language")
                .header("content-language", "de"),
            _ => answer,
        };
        answer.body(Body::from(body())).unwrap()
    };
    let router = Router::new().fallback(answer).with_state(Arc::clone(asked));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn start(dir: &Path, origin: SocketAddr) -> Node {
    let text = format!(
        "state_dir = \"{}\"\nworker_threads = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n\
         [cache.disk]\ndir = \"{}\"\nbytes = 67108864\n\
         [[route]]\nname = \"old\"\nhosts = [\"old.example\"]\nupstream = \"http://{origin}\"\n",
        dir.join("edge-state").display(),
        dir.join("cache").display(),
    );
    let node = Node::start_from(dir, "edge", &text).await;
    node.wait_ready().await;
    node
}

async fn ask(node: &Node) -> reqwest::Response {
    let request = node.request(Method::GET, "/film");
    request.header("host", "old.example").send().await.unwrap()
}

/// Waits until what was asked for is written.
async fn written(node: &Node, key: &str) {
    wait_for("a record on disk", || async {
        node.inspect(key).await["disk"]["state"] == "held"
            && node.metric("mcsp_cache_disk_queue_bytes", &[]).await == 0.0
    })
    .await;
}

/// Nothing of it is in memory, and an operator is told what the disk has, however often he asks.
async fn told_of_the_disk(node: &Node, key: &str) {
    for _ in 0..2 {
        let told = node.inspect(key).await;
        assert!(told["missed"].is_null(), "a request would not miss: {told}");
        assert_eq!(told["disk"]["state"], "held", "{told}");
        assert_eq!(told["variants"].as_array().map(Vec::len), Some(1), "{told}");
        let variant = &told["variants"][0];
        assert_eq!(variant["held_in"], "disk", "{told}");
        assert_eq!(variant["held_bytes"], 0, "{told}");
        assert_eq!(variant["total_bytes"], BODY_BYTES, "{told}");
        let all = json!({"bytes": BODY_BYTES, "chunks": 3, "chunks_total": 3, "is_whole": true});
        assert_eq!(variant["on_disk"], all, "{told}");
        assert_eq!(variant["state"], "fresh", "{told}");
        assert_eq!(variant["status"], 200, "{told}");
        assert_eq!(variant["etag"], "\"1\"", "{told}");
        assert_eq!(variant["surrogate_keys"], json!(["a", "b"]), "{told}");
        let ms = |name: &str| variant[name].as_i64().unwrap();
        // By the origin's clock, which tells whole seconds.
        let lifetime_ms = ms("fresh_until_ms") - ms("received_ms");
        assert!((590_000..=600_000).contains(&lifetime_ms), "{told}");
        assert!((1..=600_000).contains(&ms("fresh_for_ms")), "{told}");
    }
    assert_eq!(node.metric("mcsp_cache_bytes", &[]).await, 0.0);
}

#[tokio::test]
async fn an_operator_is_told_of_variants_that_only_the_disk_has() {
    let origin = origin(&Arc::default()).await;
    let dir = tempfile::TempDir::new().unwrap();
    let mut node = start(dir.path(), origin).await;
    let request = node.request(Method::GET, "/varied");
    let request = request.header("host", "old.example");
    let answer = request.header("accept-encoding", "gzip").send().await;
    assert!(answer.unwrap().bytes().await.unwrap() == body());
    let key = "http://old.example/varied";
    written(&node, key).await;
    node.kill();
    drop(node);
    let node = start(dir.path(), origin).await;
    // The disk tells by what its variants are selected, and not which there are.
    let told = node.inspect(key).await;
    let disk = json!({"state": "held", "varies_by": [["accept-encoding"]]});
    assert_eq!(told["disk"], disk, "{told}");
    assert_eq!(told["missed"], "variant", "{told}");
    told_of_the_disk(&node, &format!("{key}&header=accept-encoding:%20gzip")).await;

    let told = node.inspect("http://old.example/never").await;
    assert_eq!(told["disk"], json!({"state": "not_held"}), "{told}");
    assert_eq!(told["missed"], "never_seen", "{told}");
    for query in ["", "key=/a&header=none", "key=/a&kay=/b"] {
        let url = format!("http://{}/cache/inspect?{query}", node.admin);
        let answer = reqwest::get(url).await.unwrap();
        assert_eq!(answer.status(), 400, "{query}");
    }
}

#[tokio::test]
async fn what_is_on_disk_is_served_by_the_next_process() {
    let asked = Arc::new(AtomicUsize::new(0));
    let origin = origin(&asked).await;
    let dir = tempfile::TempDir::new().unwrap();
    let mut node = start(dir.path(), origin).await;
    assert!(ask(&node).await.bytes().await.unwrap() == body());
    let key = "http://old.example/film";
    written(&node, key).await;
    // Told to end, and then without a word.
    for is_told in [true, false] {
        if is_told {
            node.terminate();
            assert!(node.wait().await.success());
        } else {
            node.kill();
        }
        drop(node);
        node = start(dir.path(), origin).await;
        told_of_the_disk(&node, key).await;
        let answer = ask(&node).await;
        let status = cache_status(&answer);
        assert!(status.contains("; hit; ttl="), "told {is_told}: {status}");
        assert_eq!(header(answer.headers(), "etag"), Some("\"1\""));
        assert!(answer.bytes().await.unwrap() == body(), "told {is_told}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // What was never asked for is asked for.
    let new = node.request(Method::GET, "/new");
    let new = new.header("host", "old.example").send().await.unwrap();
    assert!(new.bytes().await.unwrap() == body());
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(get(&node, "/film").await.status(), 404, "no other host's");
}

#[tokio::test]
async fn a_variant_in_a_language_is_found_on_disk_by_all_who_want_that_language() {
    let asked = Arc::new(AtomicUsize::new(0));
    let origin = origin(&asked).await;
    let dir = tempfile::TempDir::new().unwrap();
    let mut node = start(dir.path(), origin).await;
    let get = async |node: &Node, languages: &'static str| {
        let request = node.request(Method::GET, "/spoken");
        let request = request.header("host", "old.example");
        let answer = request.header("accept-language", languages).send().await;
        let answer = answer.unwrap();
        let status = cache_status(&answer);
        assert!(answer.bytes().await.unwrap() == body());
        status
    };
    let status = get(&node, "de, en;q=0.5").await;
    assert!(status.contains("fwd=uri-miss"), "{status}");
    written(&node, "http://old.example/spoken").await;
    // In memory, with the disk behind it.
    let status = get(&node, "de, it;q=0.5").await;
    assert!(status.contains("; hit; ttl="), "{status}");
    node.kill();
    drop(node);
    node = start(dir.path(), origin).await;
    assert_eq!(node.metric("mcsp_cache_bytes", &[]).await, 0.0);
    let status = get(&node, "fr;q=0.5, de").await;
    assert!(status.contains("; hit; ttl="), "{status}");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // Whoever wants another is told that there are some, and asks for his.
    let status = get(&node, "yo").await;
    assert!(status.contains("fwd=vary-miss"), "{status}");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}
