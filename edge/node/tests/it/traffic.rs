//! What a node's connections carry is in its metrics.

use mcsp_api::Residency::Global;

use crate::harness::tier::{REST, body, segment, tier};
use crate::harness::{Node, World, client, get, origin_path, wait_for};

const RECEIVED: &str = "mcsp_edge_network_received_bytes_total";
const SENT: &str = "mcsp_edge_network_sent_bytes_total";

async fn counted(node: &Node, name: &str, peers: &str) -> f64 {
    node.metric(name, &[&format!("peers=\"{peers}\"")]).await
}

#[tokio::test]
async fn bytes_are_counted_at_both_sides_of_each_tier() {
    let world = World::new().await;
    let (parent, children) = tier(&world, 1).await;
    let [child] = children.as_slice() else {
        panic!("one was asked for");
    };
    world.origin.serve(&origin_path(Global, REST), segment());
    let path = world.media_path(Global, REST);
    let length = body().len() as f64;
    let whole = get(child, &path).await.bytes().await.unwrap();
    assert_eq!(whole, body());
    // Where a large body goes through it is seen while its connection lasts; of so short a one at most 64 KiB are not told yet.
    for (node, name, peers) in [
        (child, SENT, "clients"),
        (child, RECEIVED, "upstreams"),
        (&parent, SENT, "children"),
        (&parent, RECEIVED, "upstreams"),
    ] {
        wait_for(peers, || async {
            counted(node, name, peers).await > length - 66e3
        })
        .await;
        let bytes = counted(node, name, peers).await;
        assert!(bytes < length + 32e3, "{name} {peers}: {bytes}");
    }
    // A hit is sent, and nothing is fetched for it. Over TLS, it is what the socket carried.
    let (fetched, sent) = (
        counted(child, RECEIVED, "upstreams").await,
        counted(child, SENT, "clients").await,
    );
    let url = format!("https://localhost:{}{path}", child.tls.port());
    let client = client();
    assert_eq!(
        client
            .get(&url)
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap(),
        body()
    );
    drop(client);
    wait_for("the rest", || async {
        counted(child, SENT, "clients").await > sent + length + 1e3
    })
    .await;
    let more = counted(child, RECEIVED, "upstreams").await - fetched;
    assert!(more < 64e3, "{more}");
    wait_for("what clients sent", || async {
        counted(child, RECEIVED, "clients").await > 500.0
    })
    .await;
}
