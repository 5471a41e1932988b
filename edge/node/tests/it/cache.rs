//! Caching as viewers see it.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use mcsp_api::Residency::Global;
use mcsp_api::proto::feed::purge::Target;
use reqwest::Method;
use tokio::sync::Notify;

use crate::harness::{CONTENT, Serve, World, cache_status, get, header, origin_path, wait_for};

const REST: &str = "v360/1.m4s";

fn body() -> Bytes {
    (0..300_000u32)
        .map(|n| (n % 251) as u8)
        .collect::<Vec<_>>()
        .into()
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
    assert_eq!(
        cache_status(&first),
        "los1; fwd=uri-miss; fwd-status=200; stored"
    );
    assert_eq!(first.bytes().await.unwrap(), body());
    let mut other = world.grant(Global);
    other.media_session_id = "ms_gl_01k9x3m5y8q2v7r4t6w1z0a3bd".parse().unwrap();
    let second = get(
        &node,
        &format!(
            "/media/{}/global/{CONTENT}/{REST}?cache=buster",
            world.sign(&other)
        ),
    )
    .await;
    let status = cache_status(&second);
    assert!(status.starts_with("los1; hit; ttl="), "{status}");
    assert_eq!(header(second.headers(), "set-by-origin"), Some("yes"));
    assert_eq!(header(second.headers(), "server"), Some("mcsp-edge"));
    assert!(header(second.headers(), "surrogate-key").is_none());
    assert!(header(second.headers(), "age").is_some());
    assert_eq!(second.bytes().await.unwrap(), body());
    assert_eq!(world.origin.seen().len(), 1);
    let asked = &world.origin.seen()[0];
    assert_eq!(
        asked.path, name,
        "neither token nor query goes to the origin"
    );
    assert_eq!(
        node.inspect(&name).await["variants"][0]["surrogate_keys"][0],
        CONTENT
    );
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
    world
        .origin
        .serve(&name, Serve::ok(body()).broken_at(100_000));
    let response = get(&node, &path).await;
    assert!(response.status() == 502 || response.bytes().await.is_err());
    let gate = Arc::new(Notify::new());
    world
        .origin
        .serve(&name, Serve::ok(body()).broken_at(100_000).gated(&gate));
    let viewers = (0..5).map(|_| async {
        let mut response = get(&node, &path).await;
        assert_eq!(response.status(), 200);
        response.chunk().await.unwrap().unwrap();
        response
    });
    let begun = join_all(viewers).await;
    gate.notify_one();
    for response in begun {
        assert!(
            response.bytes().await.is_err(),
            "nobody is told that it is whole"
        );
    }
    wait_for("the end of the fills", || async {
        node.metric("mcsp_cache_fills_in_flight", &[]).await == 0.0
    })
    .await;
    assert_eq!(node.state(&name).await, "absent");
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
        world.origin.serve(
            &origin_path(Global, rest),
            Serve::ok(body()).with("etag", "\"e1\""),
        );
    }
    let range = |rest: &str, range: &'static str| {
        node.request(Method::GET, &world.media_path(Global, rest))
            .header("range", range)
            .send()
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
        assert_eq!(
            header(response.headers(), "content-range"),
            Some(wanted.as_str())
        );
        assert_eq!(response.bytes().await.unwrap(), body().slice(start..end));
    }
    assert_eq!(
        range(rests[0], "bytes=300000-").await.unwrap().status(),
        416
    );
    let parts = range(rests[0], "bytes=0-1,10-11").await.unwrap();
    assert_eq!(parts.status(), 206);
    assert!(
        header(parts.headers(), "content-type")
            .unwrap()
            .starts_with("multipart/byteranges")
    );
    assert_eq!(
        world.origin.count(&origin_path(Global, rests[0])),
        1,
        "the whole was fetched once"
    );

    for wanted in ["fwd=uri-miss", "hit"] {
        let head = node
            .request(Method::HEAD, &world.media_path(Global, rests[1]))
            .send()
            .await
            .unwrap();
        assert_eq!(head.status(), 200);
        assert_eq!(header(head.headers(), "content-length"), Some("300000"));
        assert!(
            cache_status(&head).contains(wanted),
            "{}",
            cache_status(&head)
        );
        wait_for("the fill", || async {
            node.state(&origin_path(Global, rests[1])).await == "fresh"
        })
        .await;
    }
    for _ in 0..2 {
        let request = node.request(Method::GET, &world.media_path(Global, rests[2]));
        let response = request
            .header("if-none-match", "\"e1\"")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 304);
        assert_eq!(response.bytes().await.unwrap().len(), 0);
    }
}

#[tokio::test]
async fn a_client_that_has_its_answer_may_ask_on_while_the_fill_goes_on() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let gate = Arc::new(Notify::new());
    let serve = Serve::ok(body()).gated(&gate);
    world.origin.serve(&origin_path(Global, REST), serve);
    let head = node.request(Method::HEAD, &world.media_path(Global, REST));
    assert_eq!(head.send().await.unwrap().status(), 200);
    // On the same connection, before the origin has sent its second half.
    let (second, ()) = tokio::join!(get(&node, "/nowhere"), async {
        wait_for("the fill", || async {
            node.inspect(&origin_path(Global, REST)).await["variants"][0]["held_bytes"] == 150_000
        })
        .await;
        gate.notify_one();
    });
    assert_eq!(second.status(), 404);
    wait_for("the object", || async {
        node.state(&origin_path(Global, REST)).await == "fresh"
    })
    .await;
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
    let sequence = world
        .origin
        .feed
        .purge(Target::ContentId(CONTENT.to_owned()), false);
    world.origin.feed.wait_acknowledged(sequence).await;
    assert_eq!(node.state(&name).await, "absent");
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
    assert!(
        slow.bytes().await.is_err(),
        "nobody gets another byte of what was purged"
    );
    assert_eq!(node.state(&name).await, "absent");
    // The fetch learns of it with its next bytes, after its readers.
    wait_for("the fill ends as purged", || async {
        node.metric("mcsp_cache_fills_total", &["purged"]).await == 1.0
    })
    .await;
}

#[tokio::test]
async fn what_is_too_large_for_the_cache_passes_through() {
    let world = World::new().await;
    let node = world
        .node_with(
            "los1",
            "[cache]\nobject_bytes_max = 65536\nmemory_bytes = 1048576\nfill_bytes_max = 262144\npinned_bytes_max = 262144\n",
        )
        .await;
    let name = origin_path(Global, REST);
    world.origin.serve(&name, Serve::ok(body()));
    for _ in 0..2 {
        let response = get(&node, &world.media_path(Global, REST)).await;
        assert!(
            cache_status(&response).contains("detail=too-large"),
            "{}",
            cache_status(&response)
        );
        assert_eq!(response.bytes().await.unwrap(), body());
    }
    assert_eq!(world.origin.count(&name), 2);
    assert_eq!(node.state(&name).await, "absent");
}
