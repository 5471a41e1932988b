//! What the feed can say that is to go, goes, and nothing else: each kind of target, for good and softly.

use mcsp_api::Residency::Global;
use mcsp_api::proto::feed::purge::Target;

use crate::harness::{CONTENT, Node, Serve, World, get, origin_path};

/// In the order of [`HELD`], for good.
const FIRST: &str = "v360/1.m4s";
const HELD: [&str; 4] = [FIRST, "v360/2.m4s", "v720/1.m4s", "a128/1.m4s"];

async fn hold(world: &World, node: &Node) {
    for (nth, rest) in HELD.into_iter().enumerate() {
        // The two names of what a response is part of.
        let field = ["surrogate-key", "cache-tag"][nth % 2];
        let answer = Serve::ok(rest)
            .with("cache-control", "max-age=600")
            .with(field, if nth < 2 { "batch" } else { "other" });
        world.origin.serve(&origin_path(Global, rest), answer);
        get(node, &world.media_path(Global, rest))
            .await
            .bytes()
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn each_target_reaches_what_it_names_and_no_more() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let targets = [
        (Target::Key(origin_path(Global, FIRST)), 1),
        (Target::Prefix(origin_path(Global, "v360/")), 2),
        (Target::SurrogateKey("batch".to_owned()), 2),
        (Target::ContentId(CONTENT.to_owned()), 4),
        (Target::Everything(true), 4),
    ];
    for (target, reached) in targets {
        for (soft, state) in [(false, "absent"), (true, "expired")] {
            hold(&world, &node).await;
            let sequence = world.origin.feed.purge(target.clone(), soft);
            world.origin.feed.wait_acknowledged(sequence).await;
            for (nth, rest) in HELD.into_iter().enumerate() {
                let wanted = if nth < reached { state } else { "fresh" };
                let found = node.state(&origin_path(Global, rest)).await;
                assert_eq!(found, wanted, "{target:?}, soft {soft}: {rest}");
            }
        }
    }
}
