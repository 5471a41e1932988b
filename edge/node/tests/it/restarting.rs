//! What a node's disk holds outlives the node, however it ends.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use reqwest::Method;
use tokio::net::TcpListener;

use crate::harness::{Node, cache_status, get, header, wait_for};

/// Two chunks and a little, so that the head's record is not all there is.
const BODY_BYTES: usize = 600_000;

fn body() -> Vec<u8> {
    (0..BODY_BYTES).map(|n| (n % 251) as u8).collect()
}

/// Counts who asks.
async fn origin(asked: &Arc<AtomicUsize>) -> SocketAddr {
    let answer = |State(asked): State<Arc<AtomicUsize>>| async move {
        asked.fetch_add(1, Ordering::SeqCst);
        let fields = [("cache-control", "max-age=600"), ("etag", "\"1\"")];
        (fields, body())
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

#[tokio::test]
async fn what_is_on_disk_is_served_by_the_next_process() {
    let asked = Arc::new(AtomicUsize::new(0));
    let origin = origin(&asked).await;
    let dir = tempfile::TempDir::new().unwrap();
    let mut node = start(dir.path(), origin).await;
    assert!(ask(&node).await.bytes().await.unwrap() == body());
    let key = "http://old.example/film";
    wait_for("a record on disk", || async {
        node.inspect(key).await["may_be_on_disk"] == true
            && node.metric("mcsp_cache_disk_queue_bytes", &[]).await == 0.0
    })
    .await;
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
        assert_eq!(
            node.inspect(key).await["variants"],
            serde_json::json!([]),
            "nothing of it is in memory"
        );
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
