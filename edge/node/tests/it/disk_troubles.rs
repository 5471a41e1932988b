//! A cache's disk that does not work: the node serves from memory, and says so.

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use reqwest::Method;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::harness::{Node, PATIENCE, wait_for};

async fn node(dir: &Path) -> Node {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = listener.local_addr().unwrap();
    let answer = |request: Request| async move {
        Response::builder()
            .header("cache-control", "max-age=600")
            .body(Body::from(request.uri().path().to_owned()))
            .unwrap()
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    let text = format!(
        "state_dir = \"{}\"\nworker_threads = 2\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n\
         [cache.disk]\ndir = \"{}\"\nbytes = 67108864\n\
         [[route]]\nname = \"old\"\nupstream = \"http://{origin}\"\n",
        dir.join("edge-state").display(),
        dir.join("cache").display(),
    );
    let node = Node::start_from(dir, "edge", &text).await;
    node.wait_ready().await;
    node
}

/// The cache key of `/a`.
fn answer_key(node: &Node) -> String {
    format!("http://{}/a", node.plain)
}

#[tokio::test]
async fn a_node_whose_disk_does_not_work_serves_and_says_so() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("cache");
    // Where the folder should be is a file.
    std::fs::write(&folder, "in the way").unwrap();
    let node = node(dir.path()).await;
    wait_for("a degraded disk", async || {
        node.admin_json("/cache/disk").await["state"] == "degraded"
    })
    .await;
    let said = node.admin_json("/cache/disk").await;
    assert!(
        said["reason"].as_str().is_some_and(|why| !why.is_empty()),
        "{said}"
    );
    assert!(said["since_ms"].as_i64().is_some(), "{said}");
    let degraded = async || node.metric("mcsp_cache_disk_degraded", &[]).await;
    wait_for("word of it", async || {
        degraded().await > 0.9 && node.log().contains("cache-disk-degraded")
    })
    .await;
    for _ in 0..2 {
        let answer = node.request(Method::GET, "/a").send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "/a");
    }
    let held = answer_key(&node);
    assert_eq!(node.state(&held).await, "fresh");
    // What the disk has nobody can say, and why that is so an operator is told of each key.
    for (key, missed) in [(&*held, None), ("/never", Some("disk_unknown"))] {
        let told = node.inspect(key).await;
        assert_eq!(told["disk"]["state"], "unknown", "{told}");
        let why = told["disk"]["reason"].as_str().unwrap_or_default();
        assert!(why.contains("degraded: failed: "), "{told}");
        assert_eq!(told["missed"].as_str(), missed, "{told}");
    }
    std::fs::remove_file(&folder).unwrap();
    wait_for("a disk that works", async || {
        node.admin_json("/cache/disk").await["state"] == "healthy"
    })
    .await;
    wait_for("word of that", async || {
        degraded().await < 0.1 && node.log().contains("works again")
    })
    .await;
    assert_eq!(node.admin_json("/cache/disk").await["blocks_unmapped"], 0);
}

#[tokio::test]
async fn a_disk_that_stops_working_under_a_node_is_done_without_until_it_works_again() {
    let dir = TempDir::new().unwrap();
    let folder = dir.path().join("cache");
    let node = node(dir.path()).await;
    // It is looked at every few seconds, and tried again ever more seldom.
    let state = async |wanted: &str| {
        let is_it = async {
            while node.admin_json("/cache/disk").await["state"] != wanted {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, is_it).await;
        waited.unwrap_or_else(|_| panic!("never {wanted}"));
    };
    let get = async |path: &str| {
        let answer = node.request(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), path);
    };
    state("healthy").await;
    get("/a").await;
    // It is taken away, and no other can be made in its place.
    std::fs::rename(&folder, dir.path().join("elsewhere")).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    state("degraded").await;
    let told = async |degraded: f64, word: &str| {
        node.counts("mcsp_cache_disk_degraded", &[], degraded).await;
        wait_for(word, async || node.log().contains(word)).await;
    };
    told(1.0, "cache-disk-degraded").await;
    // What was had is in memory, and so is what comes now.
    let first = format!("http://{}/b", node.plain);
    get("/a").await;
    get("/b").await;
    assert_eq!(node.state(&first).await, "fresh");
    assert_eq!(node.state(&answer_key(&node)).await, "fresh");
    // The disk is back, with what was on it.
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(dir.path().join("elsewhere"), &folder).unwrap();
    state("healthy").await;
    told(0.0, "works again").await;
    get("/c").await;
}
