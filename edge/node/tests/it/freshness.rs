//! How long what is cached is served, and when it is asked for again.

use mcsp_api::Residency::Global;
use mcsp_api::proto::feed::purge::Target;
use reqwest::Method;

use crate::harness::{Serve, World, cache_status, get, origin_path, wait_for};

const REST: &str = "v360/1.m4s";

#[tokio::test]
async fn a_soft_purge_revalidates_and_an_origin_that_fails_leaves_the_stale_one_in_use() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let rest = "manifest.m3u8";
    let name = origin_path(Global, rest);
    let path = world.media_path(Global, rest);
    let manifest = || {
        Serve::ok("#EXTM3U")
            .with("etag", "\"m1\"")
            .with("cache-control", "max-age=30")
    };
    world.origin.serve(&name, manifest());
    get(&node, &path).await.bytes().await.unwrap();
    let soft = || {
        world
            .origin
            .feed
            .purge(Target::SurrogateKey("none".to_owned()), true)
    };
    world.origin.feed.wait_acknowledged(soft()).await;
    assert!(
        cache_status(&get(&node, &path).await).contains("hit"),
        "another's key"
    );

    let purge = || {
        world
            .origin
            .feed
            .purge(Target::Prefix("/media/".to_owned()), true)
    };
    world.origin.feed.wait_acknowledged(purge()).await;
    let revalidated = get(&node, &path).await;
    assert_eq!(
        cache_status(&revalidated),
        "los1; fwd=stale; fwd-status=304"
    );
    assert_eq!(revalidated.text().await.unwrap(), "#EXTM3U");
    assert!(cache_status(&get(&node, &path).await).contains("hit"));

    for failing in [503, 500] {
        world.origin.feed.wait_acknowledged(purge()).await;
        world.origin.serve(&name, Serve::status(failing));
        let stale = get(&node, &path).await;
        assert_eq!(stale.status(), 200);
        let status = cache_status(&stale);
        assert!(
            status.starts_with("los1; hit; ttl=-") && status.ends_with("detail=stale-if-error"),
            "{status}"
        );
        assert_eq!(stale.text().await.unwrap(), "#EXTM3U");
        world.origin.serve(&name, manifest());
        assert_eq!(get(&node, &path).await.status(), 200);
    }
    world.origin.feed.wait_acknowledged(purge()).await;
    world.origin.serve(&name, Serve::status(404));
    assert_eq!(get(&node, &path).await.status(), 404, "gone is gone");
}

/// RFC 9111 section 5.2.2.2: not where its origin has forbidden it, however the origin fails.
#[tokio::test]
async fn after_a_soft_purge_what_must_be_revalidated_stands_in_for_nothing() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let rest = "manifest.m3u8";
    let name = origin_path(Global, rest);
    let path = world.media_path(Global, rest);
    let manifest = Serve::ok("#EXTM3U").with("etag", "\"m1\"").with(
        "cache-control",
        "max-age=600, must-revalidate, stale-if-error=600",
    );
    world.origin.serve(&name, manifest.clone());
    get(&node, &path).await.bytes().await.unwrap();
    wait_for("the object", || async {
        node.state(&name).await == "fresh"
    })
    .await;
    let sequence = world
        .origin
        .feed
        .purge(Target::Prefix("/media/".to_owned()), true);
    world.origin.feed.wait_acknowledged(sequence).await;
    world.origin.serve(&name, Serve::status(503));
    assert_eq!(get(&node, &path).await.status(), 503);
    world.origin.set_away(true);
    assert!(get(&node, &path).await.status().is_server_error());
    world.origin.set_away(false);
    // It was not lost by that.
    world.origin.serve(&name, manifest);
    wait_for("a revalidation", || async {
        let answer = get(&node, &path).await;
        answer.status() == 200 && cache_status(&answer).contains("fwd-status=304")
    })
    .await;
}

#[tokio::test]
async fn while_the_feed_is_away_each_object_is_revalidated() {
    let world = World::new().await;
    let extra = "[proxy.trust]\nrevalidate_after_ms = 3000\n";
    let node = world.node_with("los1", extra).await;
    let name = origin_path(Global, REST);
    let path = world.media_path(Global, REST);
    world
        .origin
        .serve(&name, Serve::ok("segment").with("etag", "\"s\""));
    get(&node, &path).await.bytes().await.unwrap();
    assert!(cache_status(&get(&node, &path).await).contains("hit"));
    world.origin.feed.set_away(true);
    wait_for("a revalidation", || async {
        cache_status(&get(&node, &path).await).contains("fwd=stale")
    })
    .await;
    assert!(node.metric("mcsp_edge_feed_age_seconds", &[]).await > 0.0);
    // The origin is away too: stale within limits, and counted.
    world.origin.set_away(true);
    wait_for("unverified service", || async {
        let response = get(&node, &path).await;
        response.status() == 200 && cache_status(&response).contains("detail=unverified")
    })
    .await;
    assert!(
        node.metric("mcsp_edge_stale_served_total", &["unverified"])
            .await
            > 0.0
    );
    world.origin.set_away(false);
    world.origin.feed.set_away(false);
    wait_for("a plain hit", || async {
        let status = cache_status(&get(&node, &path).await);
        status.contains("; hit; ttl=") && !status.contains("detail")
    })
    .await;
}

#[tokio::test]
async fn the_page_is_cached_only_as_its_origin_says() {
    let world = World::new().await;
    let node = world.node("los1").await;
    world.origin.serve(
        "/",
        Serve::ok("<html>")
            .with("cache-control", "no-cache")
            .with("etag", "\"h\""),
    );
    world.origin.serve(
        "/assets/app.js",
        Serve::ok("js").with("cache-control", "max-age=3600"),
    );
    world.origin.serve("/watch/x", Serve::ok("<html>"));
    for _ in 0..2 {
        for path in ["/", "/assets/app.js", "/watch/x"] {
            let request = node
                .request(Method::GET, path)
                .header("cookie", "mcsp_refresh=secret");
            assert_eq!(request.send().await.unwrap().status(), 200);
        }
    }
    assert_eq!(world.origin.count("/assets/app.js"), 1);
    assert_eq!(world.origin.count("/watch/x"), 2);
    assert_eq!(world.origin.count("/"), 2);
    assert!(
        world
            .origin
            .seen()
            .iter()
            .all(|seen| !seen.headers.contains_key("cookie"))
    );
}

#[tokio::test]
async fn where_the_origin_allows_it_the_stale_one_is_served_while_one_request_revalidates() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let control = "public, max-age=300, stale-while-revalidate=86400";
    let serve = |body: &'static str| Serve::ok(body).with("cache-control", control);
    world.origin.serve("/assets/app.js", serve("old"));
    assert_eq!(
        get(&node, "/assets/app.js").await.text().await.unwrap(),
        "old"
    );
    world.origin.serve("/assets/app.js", serve("new"));
    let sequence = world
        .origin
        .feed
        .purge(Target::Prefix("/assets/".to_owned()), true);
    world.origin.feed.wait_acknowledged(sequence).await;
    let stale = get(&node, "/assets/app.js").await;
    let status = cache_status(&stale);
    assert!(
        status.starts_with("los1; hit; ttl=-") && !status.contains("detail"),
        "{status}"
    );
    assert_eq!(stale.text().await.unwrap(), "old");
    wait_for("the new one", || async {
        get(&node, "/assets/app.js").await.text().await.unwrap() == "new"
    })
    .await;
    assert_eq!(world.origin.count("/assets/app.js"), 2);
}
