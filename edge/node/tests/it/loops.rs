//! Requests that come back to where they were.

use reqwest::Method;
use tempfile::TempDir;

use crate::harness::{Node, reserved};

#[tokio::test]
async fn a_plain_route_that_leads_back_to_its_own_node_ends_at_the_second_turn() {
    let dir = TempDir::new().unwrap();
    let (_reserved, address) = reserved();
    let text = format!(
        "state_dir = \"{}\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\naddress = \"{address}\"\ntls = false\n\
         [[route]]\nname = \"round\"\nupstream = \"http://{address}\"\n",
        dir.path().join("edge-state").display()
    );
    let node = Node::start_from(dir.path(), "edge", &text).await;
    for method in [Method::GET, Method::POST] {
        let response = node.request(method, "/a").send().await.unwrap();
        assert_eq!(response.status(), 508);
    }
    let refused = "mcsp_edge_answers_total";
    assert_eq!(node.metric(refused, &["\"loop\""]).await, 2.0);
    // What another owner's node has added is no loop, though the names are the same.
    let elsewhere = node
        .request(Method::GET, "/b")
        .header("cdn-loop", "1.edge.mcsp-edge; run=0000000000000000");
    elsewhere.send().await.unwrap();
    let loops = node.metric(refused, &["\"loop\""]).await;
    assert_eq!(loops, 3.0, "one turn more");
}
