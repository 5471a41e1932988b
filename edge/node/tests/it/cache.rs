//! Caching as viewers see it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use mcsp_api::Residency::Global;
use mcsp_api::proto::feed::purge::Target;
use reqwest::Method;
use tokio::sync::Notify;

use crate::harness::{CONTENT, Serve, World, cache_status, get, header, origin_path, wait_for};

const REST: &str = "v360/1.m4s";

fn body() -> Bytes {
    (0..300_000u32).map(|n| (n % 251) as u8).collect::<Vec<_>>().into()
}

#[tokio::test]
async fn the_second_viewer_gets_it_from_memory_whoever_he_is() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let name = origin_path(Global, REST);
    let serve = Serve::ok(body())
        .with("cache-control", "public, max-age=60")
        .with("surrogate-key", CONTENT)
        .with("set-by-origin", "yes");
    world.origin.serve(&name, serve);
    let first = get(&node, &world.media_path(Global, REST)).await;
    assert_eq!(first.status(), 200);
    assert_eq!(cache_status(&first), "los1; fwd=uri-miss; fwd-status=200; stored");
    assert_eq!(first.bytes().await.unwrap(), body());
    let mut other = world.grant(Global);
    other.media_session_id = "ms_gl_01k9x3m5y8q2v7r4t6w1z0a3bd".parse().unwrap();
    let second = get(&node, &format!("/media/{}/global/{CONTENT}/{REST}?cache=buster", world.sign(&other))).await;
    let status = cache_status(&second);
    assert!(status.starts_with("los1; hit; ttl="), "{status}");
    assert_eq!(header(second.headers(), "set-by-origin"), Some("yes"));
    assert_eq!(header(second.headers(), "server"), Some("mcsp-edge"));
    assert!(header(second.headers(), "surrogate-key").is_none());
    assert!(header(second.headers(), "age").is_some());
    assert_eq!(second.bytes().await.unwrap(), body());
    assert_eq!(world.origin.seen().len(), 1);
    let asked = &world.origin.seen()[0];
    assert_eq!(asked.path, name, "neither token nor query goes to the origin");
    assert_eq!(node.inspect(&name).await["surrogate_keys"][0], CONTENT);
}

#[tokio::test]
async fn many_viewers_at_once_are_one_fetch_and_none_waits_for_its_end() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let name = origin_path(Global, REST);
    let gate = Arc::new(Notify::new());
    world.origin.serve(&name, Serve::ok(body()).gated(&gate));
    let path = world.media_path(Global, REST);
    let viewers = (0..20).map(|_| async {
        let mut response = get(&node, &path).await;
        // The origin has not sent its second half.
        let first = response.chunk().await.unwrap().unwrap();
        (cache_status(&response), first.len(), response)
    });
    let begun = join_all(viewers).await;
    assert_eq!(world.origin.count(&name), 1);
    gate.notify_one();
    let mut collapsed = 0;
    for (status, first, response) in begun {
        collapsed += usize::from(status.contains("; collapsed"));
        assert_eq!(first + response.bytes().await.unwrap().len(), body().len());
    }
    assert_eq!(collapsed, 19);
    assert_eq!(world.origin.count(&name), 1);
}

#[tokio::test]
async fn a_response_that_breaks_off_is_an_error_and_is_not_kept() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let name = origin_path(Global, REST);
    let path = world.media_path(Global, REST);
    // At once, while the edge still owes an answer: an error's status. Later, in the middle of the body: a broken body.
    world.origin.serve(&name, Serve::ok(body()).broken_at(100_000));
    let response = get(&node, &path).await;
    assert!(response.status() == 502 || response.bytes().await.is_err());
    let gate = Arc::new(Notify::new());
    world.origin.serve(&name, Serve::ok(body()).broken_at(100_000).gated(&gate));
    let viewers = (0..5).map(|_| async {
        let mut response = get(&node, &path).await;
        assert_eq!(response.status(), 200);
        response.chunk().await.unwrap().unwrap();
        response
    });
    let begun = join_all(viewers).await;
    gate.notify_one();
    for response in begun {
        assert!(response.bytes().await.is_err(), "nobody is told that it is whole");
    }
    wait_for("the end of the fills", || async {
        node.metric("mcsp_cache_fills_in_flight", &[]).await == 0.0
    })
    .await;
    assert_eq!(node.inspect(&name).await["state"], "absent");
    world.origin.serve(&name, Serve::ok(body()));
    let whole = get(&node, &path).await;
    assert!(cache_status(&whole).contains("fwd=uri-miss"));
    assert_eq!(whole.bytes().await.unwrap(), body());
}

#[tokio::test]
async fn ranges_and_heads_on_misses_and_on_hits() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let rests = ["v360/1.m4s", "v360/2.m4s", "v360/3.m4s"];
    for rest in rests {
        world.origin.serve(&origin_path(Global, rest), Serve::ok(body()).with("etag", "\"e1\""));
    }
    let range = |rest: &str, range: &'static str| {
        node.request(Method::GET, &world.media_path(Global, rest)).header("range", range).send()
    };
    // A miss, then hits.
    for (range_value, start, end) in [
        ("bytes=1000-1999", 1000, 2000),
        ("bytes=0-0", 0, 1),
        ("bytes=299999-", 299_999, 300_000),
        ("bytes=-10", 299_990, 300_000),
    ] {
        let response = range(rests[0], range_value).await.unwrap();
        assert_eq!(response.status(), 206, "{range_value}");
        let wanted = format!("bytes {start}-{}/300000", end - 1);
        assert_eq!(header(response.headers(), "content-range"), Some(wanted.as_str()));
        assert_eq!(response.bytes().await.unwrap(), body().slice(start..end));
    }
    assert_eq!(range(rests[0], "bytes=300000-").await.unwrap().status(), 416);
    let parts = range(rests[0], "bytes=0-1,10-11").await.unwrap();
    assert_eq!(parts.status(), 206);
    assert!(header(parts.headers(), "content-type").unwrap().starts_with("multipart/byteranges"));
    assert_eq!(world.origin.count(&origin_path(Global, rests[0])), 1, "the whole was fetched once");

    for wanted in ["fwd=uri-miss", "hit"] {
        let head = node.request(Method::HEAD, &world.media_path(Global, rests[1])).send().await.unwrap();
        assert_eq!(head.status(), 200);
        assert_eq!(header(head.headers(), "content-length"), Some("300000"));
        assert!(cache_status(&head).contains(wanted), "{}", cache_status(&head));
        wait_for("the fill", || async {
            node.inspect(&origin_path(Global, rests[1])).await["state"] == "fresh"
        })
        .await;
    }
    for _ in 0..2 {
        let request = node.request(Method::GET, &world.media_path(Global, rests[2]));
        let response = request.header("if-none-match", "\"e1\"").send().await.unwrap();
        assert_eq!(response.status(), 304);
        assert_eq!(response.bytes().await.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn a_purge_reaches_what_is_held_and_what_is_on_its_way() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let name = origin_path(Global, REST);
    let path = world.media_path(Global, REST);
    world.origin.serve(&name, Serve::ok("first"));
    assert_eq!(get(&node, &path).await.text().await.unwrap(), "first");
    world.origin.serve(&name, Serve::ok("second"));
    assert_eq!(get(&node, &path).await.text().await.unwrap(), "first");
    let sequence = world.origin.feed.purge(Target::ContentId(CONTENT.to_owned()), false);
    world.origin.feed.wait_acknowledged(sequence).await;
    assert_eq!(node.inspect(&name).await["state"], "absent");
    let response = get(&node, &path).await;
    assert!(cache_status(&response).contains("fwd=uri-miss"));
    assert_eq!(response.text().await.unwrap(), "second");

    // A fetch that began before a purge does not bring the object back.
    let rest = "v360/2.m4s";
    let name = origin_path(Global, rest);
    let gate = Arc::new(Notify::new());
    world.origin.serve(&name, Serve::ok(body()).gated(&gate));
    let mut slow = get(&node, &world.media_path(Global, rest)).await;
    slow.chunk().await.unwrap().unwrap();
    let sequence = world.origin.feed.purge(Target::Prefix(name.clone()), false);
    world.origin.feed.wait_acknowledged(sequence).await;
    gate.notify_one();
    slow.bytes().await.unwrap();
    assert_eq!(node.inspect(&name).await["state"], "absent");
    assert_eq!(node.metric("mcsp_cache_fills_total", &["superseded"]).await, 1.0);
}

#[tokio::test]
async fn a_soft_purge_revalidates_and_an_origin_that_fails_leaves_the_stale_one_in_use() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let rest = "manifest.m3u8";
    let name = origin_path(Global, rest);
    let path = world.media_path(Global, rest);
    let manifest = || Serve::ok("#EXTM3U").with("etag", "\"m1\"").with("cache-control", "max-age=30");
    world.origin.serve(&name, manifest());
    get(&node, &path).await.bytes().await.unwrap();
    let soft = || world.origin.feed.purge(Target::SurrogateKey("none".to_owned()), true);
    world.origin.feed.wait_acknowledged(soft()).await;
    assert!(cache_status(&get(&node, &path).await).contains("hit"), "another's key");

    let purge = || world.origin.feed.purge(Target::Prefix("/media/".to_owned()), true);
    world.origin.feed.wait_acknowledged(purge()).await;
    let revalidated = get(&node, &path).await;
    assert_eq!(cache_status(&revalidated), "los1; fwd=stale; fwd-status=304");
    assert_eq!(revalidated.text().await.unwrap(), "#EXTM3U");
    assert!(cache_status(&get(&node, &path).await).contains("hit"));

    for failing in [503, 500] {
        world.origin.feed.wait_acknowledged(purge()).await;
        world.origin.serve(&name, Serve::status(failing));
        let stale = get(&node, &path).await;
        assert_eq!(stale.status(), 200);
        let status = cache_status(&stale);
        assert!(status.starts_with("los1; hit; ttl=-") && status.ends_with("detail=stale-if-error"), "{status}");
        assert_eq!(stale.text().await.unwrap(), "#EXTM3U");
        world.origin.serve(&name, manifest());
        assert_eq!(get(&node, &path).await.status(), 200);
    }
    world.origin.feed.wait_acknowledged(purge()).await;
    world.origin.serve(&name, Serve::status(404));
    assert_eq!(get(&node, &path).await.status(), 404, "gone is gone");
}

#[tokio::test]
async fn while_the_feed_is_away_each_object_is_revalidated() {
    let world = World::new().await;
    let extra = "[proxy.trust]\nrevalidate_after_ms = 1000\n";
    let node = world.node_with("los1", extra).await;
    let name = origin_path(Global, REST);
    let path = world.media_path(Global, REST);
    world.origin.serve(&name, Serve::ok("segment").with("etag", "\"s\""));
    get(&node, &path).await.bytes().await.unwrap();
    assert!(cache_status(&get(&node, &path).await).contains("hit"));
    world.origin.feed.set_away(true);
    wait_for("a revalidation", || async { cache_status(&get(&node, &path).await).contains("fwd=stale") }).await;
    assert!(node.metric("mcsp_edge_feed_age_seconds", &[]).await > 0.0);
    // The origin is away too: stale within limits, and counted.
    world.origin.set_away(true);
    wait_for("unverified service", || async {
        let response = get(&node, &path).await;
        response.status() == 200 && cache_status(&response).contains("detail=unverified")
    })
    .await;
    assert!(node.metric("mcsp_edge_stale_served_total", &["unverified"]).await > 0.0);
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
    world.origin.serve("/", Serve::ok("<html>").with("cache-control", "no-cache").with("etag", "\"h\""));
    world.origin.serve("/assets/app.js", Serve::ok("js").with("cache-control", "max-age=3600"));
    world.origin.serve("/watch/x", Serve::ok("<html>"));
    for _ in 0..2 {
        for path in ["/", "/assets/app.js", "/watch/x"] {
            let request = node.request(Method::GET, path).header("cookie", "mcsp_refresh=secret");
            assert_eq!(request.send().await.unwrap().status(), 200);
        }
    }
    assert_eq!(world.origin.count("/assets/app.js"), 1);
    assert_eq!(world.origin.count("/watch/x"), 2);
    assert_eq!(world.origin.count("/"), 2);
    assert!(world.origin.seen().iter().all(|seen| !seen.headers.contains_key("cookie")));
}

#[tokio::test]
async fn what_is_too_large_for_the_cache_passes_through() {
    let world = World::new().await;
    let node = world.node_with("los1", "[cache]\nobject_bytes_max = 65536\nmemory_bytes = 1048576\n").await;
    let name = origin_path(Global, REST);
    world.origin.serve(&name, Serve::ok(body()));
    for _ in 0..2 {
        let response = get(&node, &world.media_path(Global, REST)).await;
        assert!(cache_status(&response).contains("detail=too-large"), "{}", cache_status(&response));
        assert_eq!(response.bytes().await.unwrap(), body());
    }
    assert_eq!(world.origin.count(&name), 2);
    tokio::time::timeout(Duration::from_secs(5), async {
        assert_eq!(node.inspect(&name).await["state"], "absent");
    })
    .await
    .unwrap();
}
