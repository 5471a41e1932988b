//! Keys of access tokens that the feed has not brought.

use mcsp_runtime::{Clock as _, SystemClock};
use reqwest::Method;

use crate::harness::{AccessKeys, Node, Serve, USER, World, wait_for};

const KEYS: &str = "/.well-known/jwks.json";

async fn me(node: &Node, token: &str) -> u16 {
    let request = node
        .request(Method::GET, "/api/v1/users/me")
        .bearer_auth(token);
    request.send().await.unwrap().status().as_u16()
}

/// Another key of the region, which its issuer publishes beside the one that the feed told of.
fn rotated() -> AccessKeys {
    let mut next = AccessKeys::new("ng-lagos");
    next.kid = "ng-lagos-2".to_owned();
    next
}

fn both(world: &World, next: &AccessKeys) -> String {
    let mut set: serde_json::Value = serde_json::from_str(&world.access.jwks()).unwrap();
    let other: serde_json::Value = serde_json::from_str(&next.jwks()).unwrap();
    let keys = set["keys"].as_array_mut().unwrap();
    keys.push(other["keys"][0].clone());
    set.to_string()
}

#[tokio::test]
async fn a_burst_of_tokens_by_a_new_key_asks_its_issuer_once_and_is_served() {
    let world = World::new().await;
    let node = world.node("los1").await;
    world.origin.serve("/api/v1/users/me", Serve::ok("me"));
    let next = rotated();
    world.origin.serve(KEYS, Serve::ok(both(&world, &next)));
    let tokens: Vec<String> = (0..20)
        .map(|number| {
            let mut claims = next.claims();
            claims.jti = format!("token-{number}");
            next.sign(&claims)
        })
        .collect();
    let answers = tokens.iter().map(|token| me(&node, token));
    let answers = futures::future::join_all(answers).await;
    assert_eq!(answers, [200; 20]);
    assert_eq!(world.origin.asked_for_keys(), 1);
    assert_eq!(
        me(&node, &world.access.token()).await,
        200,
        "the former key"
    );
    // Nobody has this one, and nobody is asked again so soon.
    let mut stranger = AccessKeys::new("ng-lagos");
    stranger.kid = "ng-lagos-3".to_owned();
    assert_eq!(me(&node, &stranger.token()).await, 401);
    assert_eq!(world.origin.asked_for_keys(), 1);
    let node_log = node.log();
    assert!(tokens.iter().all(|token| !node_log.contains(token)));
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_makes_its_unknown_keys_503() {
    let world = World::new().await;
    let node = world.node("los1").await;
    world.origin.serve("/api/v1/users/me", Serve::ok("me"));
    world.origin.serve(KEYS, Serve::status(500));
    let next = rotated();
    assert_eq!(me(&node, &next.token()).await, 503);
    assert_eq!(me(&node, &world.access.token()).await, 200, "what is known");
}

#[tokio::test]
async fn keys_that_nobody_confirms_are_believed_for_a_while_only() {
    let world = World::new().await;
    let trust = "[proxy.trust]\ntokens_until_ms = 3000\n";
    let node = world.node_with("los1", trust).await;
    world.origin.serve("/api/v1/users/me", Serve::ok("me"));
    // The harness's London has the keys that it published last.
    let london = AccessKeys::new("global-london");
    world
        .origin
        .feed
        .token_keys("global-london", &london.jwks());
    let mut claims = london.claims();
    claims.sub = USER.replace("_ng_", "_gl_");
    claims.exp = SystemClock.now_s() + 900;
    let token = london.sign(&claims);
    wait_for("London's keys", || async { me(&node, &token).await == 200 }).await;
    // London cannot be asked: its origin has no keys to show. Lagos' are confirmed by its feed.
    wait_for("their end", || async { me(&node, &token).await == 503 }).await;
    assert_eq!(me(&node, &world.access.token()).await, 200);
    assert!(world.origin.asked_for_keys() > 0, "London was asked");
}
