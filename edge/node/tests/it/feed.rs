//! The feed over cuts, resets and restarts.

use mcsp_api::Residency::Global;
use mcsp_api::proto::feed::purge::Target;
use mcsp_runtime::{Clock as _, SystemClock};
use reqwest::Method;

use crate::harness::{
    AccessKeys, MEDIA_SESSION, Serve, World, cache_status, get, header, origin_path, wait_for,
};

#[tokio::test]
async fn what_was_missed_during_a_cut_is_caught_up_in_order() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let name = origin_path(Global, "v360/1.m4s");
    let path = world.media_path(Global, "v360/1.m4s");
    world.origin.serve(&name, Serve::ok("segment"));
    get(&node, &path).await.bytes().await.unwrap();
    world.origin.feed.set_away(true);
    node.wait_feed_cut().await;
    let sequence = world.origin.feed.purge(Target::Everything(true), false);
    let before = world.origin.feed.subscribed.lock().len();
    world.origin.feed.set_away(false);
    world.origin.feed.wait_acknowledged(sequence).await;
    assert_eq!(node.state(&name).await, "absent");
    let subscribed = world.origin.feed.subscribed.lock().clone();
    let last = subscribed.last().unwrap();
    assert!(subscribed.len() > before);
    assert_eq!(
        (last.subscriber.as_str(), last.epoch.as_str()),
        ("los1/1", "epoch-1")
    );
    assert!(
        last.after_sequence > 0,
        "it resumes, it does not start over"
    );
}

#[tokio::test]
async fn another_epoch_rebuilds_the_state() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let name = origin_path(Global, "v360/1.m4s");
    let path = world.media_path(Global, "v360/1.m4s");
    world
        .origin
        .serve(&name, Serve::ok("segment").with("etag", "\"s\""));
    get(&node, &path).await.bytes().await.unwrap();
    world.origin.feed.set_away(true);
    node.wait_feed_cut().await;
    // The region's keys are others now.
    let others = AccessKeys::new("ng-lagos");
    world.origin.feed.token_keys("ng-lagos", &others.jwks());
    world.origin.feed.set_epoch("epoch-2");
    world.origin.feed.set_away(false);
    wait_for("the new epoch", || async {
        world
            .origin
            .feed
            .acknowledged
            .lock()
            .iter()
            .any(|one| one.epoch == "epoch-2")
    })
    .await;
    world.origin.serve("/api/v1/users/me", Serve::ok("me"));
    let me = |token: String| {
        node.request(Method::GET, "/api/v1/users/me")
            .bearer_auth(token)
            .send()
    };
    assert_eq!(me(world.access.token()).await.unwrap().status(), 401);
    assert_eq!(me(others.token()).await.unwrap().status(), 200);
    // Purges may have been missed, so what is cached is not believed unseen.
    assert!(cache_status(&get(&node, &path).await).contains("fwd=stale"));
}

#[tokio::test]
async fn a_restart_while_the_origin_is_away_goes_on_with_what_was_known() {
    let world = World::new().await;
    let mut node = world.node("los1").await;
    let expires_s = SystemClock.now_s() + 3600;
    let sequence = world
        .origin
        .feed
        .revoke_media_session(MEDIA_SESSION, expires_s);
    world.origin.feed.wait_acknowledged(sequence).await;
    node.terminate();
    assert!(node.wait().await.success());
    let kept = node.dir.join("feed.json");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&kept).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    drop(node);

    world.origin.set_away(true);
    let node = world.node("los1").await;
    let refused = get(&node, &world.media_path(Global, "v360/1.m4s")).await;
    assert_eq!(refused.status(), 403, "the session is still ended");
    let mut grant = world.grant(Global);
    grant.media_session_id = "ms_ng_01k9x3m5y8q2v7r4t6w1z0a3bd".parse().unwrap();
    let token = world.sign(&grant);
    let path = format!("/media/{token}/global/{}/v360/1.m4s", grant.content_id);
    let good = get(&node, &path).await;
    assert_eq!(
        good.status(),
        503,
        "a good URL, and no origin to fetch from"
    );
    assert!(
        cache_status(&good).contains("detail=no-origin"),
        "{}",
        cache_status(&good)
    );
    assert!(header(good.headers(), "retry-after").is_some());
    let stranger = AccessKeys::new("ng-lagos");
    let request = node
        .request(Method::GET, "/api/v1/users/me")
        .bearer_auth(stranger.token());
    assert_eq!(request.send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_node_that_may_not_keep_secrets_keeps_nothing() {
    let world = World::new().await;
    let mut node = world.node_with("los1", "[feed]\npersist = false\n").await;
    node.terminate();
    assert!(node.wait().await.success());
    assert!(!node.dir.join("feed.json").exists());
}
