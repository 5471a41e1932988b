//! Start and stop.

use std::sync::Arc;

use mcsp_api::Residency::Global;
use rustix::process::{Resource, getrlimit};
use tokio::sync::Notify;

use crate::harness::{Serve, World, get, origin_path, wait_for};

#[tokio::test]
async fn a_stop_lets_a_running_answer_end_and_takes_no_new_viewer() {
    let world = World::new().await;
    let mut node = world.node("los1").await;
    let gate = Arc::new(Notify::new());
    let rest = "v360/1.m4s";
    world.origin.serve(
        &origin_path(Global, rest),
        Serve::ok(vec![1u8; 100_000]).gated(&gate),
    );
    let mut running = get(&node, &world.media_path(Global, rest)).await;
    let first = running.chunk().await.unwrap().unwrap().len();
    node.terminate();
    wait_for("the listener's end", || async {
        tokio::net::TcpStream::connect(node.plain).await.is_err()
    })
    .await;
    gate.notify_one();
    assert_eq!(first + running.bytes().await.unwrap().len(), 100_000);
    assert!(node.wait().await.success());
}

/// As it is, a thread that takes one connection too many would wait for the kernel to make a larger table.
#[tokio::test]
async fn the_table_of_descriptors_has_room_for_all_connections_from_the_start() {
    let world = World::new().await;
    let (max, others) = (3_000_u64, 2_048);
    let node = world
        .node_with("los1", &format!("[connections]\nmax = {max}\n"))
        .await;
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
    let size: u64 = size.unwrap().trim().parse().unwrap();
    let allowed = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let wanted = (2 * max + others).min(allowed);
    assert!((wanted..=4 * wanted).contains(&size), "{size}");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let world = World::new().await;
    let mut node = world.node_with("los1", "drain_ms = 300\n").await;
    let gate = Arc::new(Notify::new());
    let rest = "v360/1.m4s";
    world.origin.serve(
        &origin_path(Global, rest),
        Serve::ok(vec![1u8; 100_000]).gated(&gate),
    );
    let mut running = get(&node, &world.media_path(Global, rest)).await;
    running.chunk().await.unwrap().unwrap();
    node.terminate();
    assert!(node.wait().await.success());
    assert!(
        running.bytes().await.is_err(),
        "what was cut off is not taken for the whole"
    );
}

#[tokio::test]
async fn every_request_has_its_line_its_count_and_its_trace() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let rest = "v360/1.m4s";
    world
        .origin
        .serve(&origin_path(Global, rest), Serve::ok("segment"));
    let cases = [
        (world.media_path(Global, rest), "media-segment", 200),
        ("/api/v1/users/me".to_owned(), "api", 401),
        ("/nowhere".to_owned(), "unmatched", 404),
        ("/".to_owned(), "web", 404),
    ];
    for (path, _, status) in &cases {
        assert_eq!(get(&node, path).await.status().as_u16(), *status);
    }
    for (_, route, status) in &cases {
        wait_for("the line", || async {
            node.log().lines().any(|line| {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                line["target"] == "access"
                    && line["route"] == *route
                    && line["status"] == *status
                    && line["trace_id"].as_str().is_some_and(|id| id.len() == 32)
            })
        })
        .await;
        let label = format!("route=\"{route}\"");
        wait_for(route, || async {
            node.metric("mcsp_requests_total", &["service=\"edge\"", &label])
                .await
                >= 1.0
        })
        .await;
    }
}
