//! The shield tier and time: what is purged does not come back through a parent, nor does what is stale pass for fresh.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::{join, join_all};
use mcsp_api::Residency::Global;
use mcsp_api::proto::feed::purge::Target;
use tokio::sync::Semaphore;

use crate::harness::tier::{
    LISTENER, REST, address_of, ask, body, caches, children_of, fallbacks, position_of, segment,
    status_of, tier, tries,
};
use crate::harness::{CONTENT, Node, Origin, Serve, World, get, origin_path, wait_for};

/// A parent whose feed is of another origin with the same history, which may fall behind.
async fn behind(world: &World, name: &str, catch_up: &str) -> (Origin, Node, Node) {
    let lagging = world.another_origin().await;
    world.publish_keys_by(&lagging);
    lagging.serve(name, segment());
    let origins = [lagging.address];
    let listener = format!("{LISTENER}{catch_up}");
    let parent = world
        .start_with_origins("los1-p", &origins, &listener)
        .await;
    parent.wait_ready().await;
    let extra = children_of(&[("p", address_of(&parent))]);
    let child = world.node_with("abv1", &extra).await;
    (lagging, parent, child)
}

#[tokio::test]
async fn a_parent_that_is_behind_with_purges_does_not_bring_an_object_back() {
    let world = World::new().await;
    let name = origin_path(Global, REST);
    world.origin.serve(&name, segment());
    let (lagging, parent, child) = behind(&world, &name, "").await;
    let path = world.media_path(Global, REST);
    let first = get(&child, &path).await;
    assert!(caches(&first).starts_with("los1/p; fwd=uri-miss"));
    assert_eq!(first.bytes().await.unwrap(), body());
    // The origin has another one by now; only the child's feed tells.
    let newer = segment().with("x-version", "2");
    world.origin.serve(
        &name,
        Serve {
            body: Bytes::from_static(b"newer"),
            ..newer
        },
    );
    let target = || Target::ContentId(CONTENT.to_owned());
    let sequence = world.origin.feed.purge(target(), false);
    world.origin.feed.wait_acknowledged(sequence).await;
    let after = get(&child, &path).await;
    let status = caches(&after);
    assert!(status.ends_with("detail=past-parents"), "{status}");
    assert_eq!(after.text().await.unwrap(), "newer");
    assert_eq!(fallbacks(&child, "behind").await, 1.0);
    wait_for("the old one, which the parent has still", || async {
        parent.state(&name).await == "fresh"
    })
    .await;
    // Once it is as far, it is asked again.
    lagging.serve(
        &name,
        Serve::ok("newest").with("cache-control", "max-age=600"),
    );
    lagging.feed.purge(target(), false);
    lagging.feed.wait_acknowledged(sequence).await;
    let again = world.origin.feed.purge(target(), false);
    world.origin.feed.wait_acknowledged(again).await;
    lagging.feed.purge(target(), false);
    lagging.feed.wait_acknowledged(again).await;
    let last = get(&child, &path).await;
    assert!(caches(&last).starts_with("los1/p; fwd=uri-miss"));
    assert_eq!(last.text().await.unwrap(), "newest");
}

#[tokio::test]
async fn a_request_waits_for_a_parent_that_is_about_to_catch_up() {
    let world = World::new().await;
    let name = origin_path(Global, REST);
    world.origin.serve(&name, segment());
    // As long as may be: what is to come within it comes soon, however slow the machine.
    let (lagging, parent, _child) = behind(&world, &name, "catch_up_ms = 10000\n").await;
    let position = position_of(&parent).await;
    let mut words: Vec<String> = position.split(' ').map(str::to_owned).collect();
    words[2] = (words[2].parse::<u64>().unwrap() + 1).to_string();
    let position = words.join(" ");
    let caller = world.identity("edge", "abv1");
    let asked = ask(address_of(&parent), &caller, &name, &position);
    let purged = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        lagging
            .feed
            .purge(Target::ContentId(CONTENT.to_owned()), true);
    };
    let (answer, ()) = tokio::join!(asked, purged);
    assert_eq!(status_of(&answer), "200", "{answer}");
    // One of another feed is not waited for, nor one who does not say where he is.
    for position in ["x-mcsp-feed-position: ng-lagos 1 other\r\n", ""] {
        let answer = ask(address_of(&parent), &caller, &name, position).await;
        assert_eq!(status_of(&answer), "503");
        assert!(answer.contains("\r\nx-mcsp-parent: behind\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_soft_purge_is_not_undone_by_what_a_parent_may_still_serve() {
    let world = World::new().await;
    let (parent, children) = tier(&world, 1).await;
    let child = &children[0];
    let name = origin_path(Global, REST);
    let windows = "max-age=600, stale-while-revalidate=600, stale-if-error=600";
    let version = |etag: &str, text: &'static str| {
        let serve = Serve::ok(text).with("etag", etag);
        serve.with("cache-control", windows)
    };
    world.origin.serve(&name, version("\"one\"", "one"));
    let path = world.media_path(Global, REST);
    assert_eq!(get(child, &path).await.text().await.unwrap(), "one");
    let soft = async || {
        let target = Target::ContentId(CONTENT.to_owned());
        let sequence = world.origin.feed.purge(target, true);
        wait_for("both are as far", || async {
            let at = async |node: &Node| node.shield_state().await["feed"]["sequence"].as_u64();
            at(&parent).await >= Some(sequence) && at(child).await >= Some(sequence)
        })
        .await;
    };
    soft().await;
    world.origin.serve(&name, version("\"two\"", "two"));
    // The child may serve it once more, and asks meanwhile; its parent must not say that it is good.
    assert_eq!(get(child, &path).await.text().await.unwrap(), "one");
    wait_for("the newer one", || async {
        get(child, &path).await.text().await.unwrap() == "two"
    })
    .await;
    // What has not changed is validated through both.
    soft().await;
    get(child, &path).await;
    wait_for("a validation", || async {
        let status = caches(&get(child, &path).await);
        status.starts_with("abv1; hit; ttl=5")
    })
    .await;
    assert_eq!(world.origin.count(&name), 3);
    assert_eq!(fallbacks(child, "").await, 0.0);
}

/// A segment that is stale at once, and may stand in.
fn soon_stale() -> Serve {
    let serve = segment().with("cache-control", "max-age=0, stale-if-error=600");
    let headers = serve
        .headers
        .iter()
        .filter(|(_, value)| value != "public, max-age=600");
    let headers: Vec<_> = headers.cloned().collect();
    Serve { headers, ..serve }
}

#[tokio::test]
async fn what_stands_in_for_a_failed_origin_is_served_and_not_kept() {
    let world = World::new().await;
    let (_parent, children) = tier(&world, 2).await;
    let name = origin_path(Global, REST);
    world.origin.serve(&name, soon_stale());
    let path = world.media_path(Global, REST);
    assert_eq!(
        get(&children[0], &path).await.bytes().await.unwrap(),
        body()
    );
    world.origin.serve(&name, Serve::status(503));
    let other = get(&children[1], &path).await;
    assert_eq!(other.status(), 200);
    let status = caches(&other);
    assert!(status.starts_with("los1/p; hit; "), "{status}");
    assert!(status.contains("detail=stale-if-error, abv1; "), "{status}");
    assert_eq!(other.bytes().await.unwrap(), body());
    assert_eq!(children[1].state(&name).await, "absent");
    assert_eq!(tries(&children[1], "stale").await, 1.0);
    // Who has one of its own gives that.
    let own = get(&children[0], &path).await;
    assert_eq!(
        (own.status().as_u16(), own.bytes().await.unwrap()),
        (200, body())
    );
}

#[tokio::test]
async fn what_stands_in_at_a_parent_is_asked_for_once_for_all_who_wait() {
    const CROWD: usize = 20;
    let world = World::new().await;
    // Nobody's wait ends by itself.
    let patient = format!("{LISTENER}[proxy]\nstale_wait_ms = 60000\n");
    let parent = world.node_with("los1-p", &patient).await;
    let children = children_of(&[("p", address_of(&parent))]);
    let extra = children.replace("head_timeout_ms = 8000", "head_timeout_ms = 60000");
    let extra = format!("{extra}[proxy]\ncollapse_wait_ms = 60000\n");
    let child = world.node_with("abv1", &extra).await;
    let name = origin_path(Global, REST);
    let path = world.media_path(Global, REST);
    world.origin.serve(&name, soon_stale());
    assert_eq!(get(&parent, &path).await.bytes().await.unwrap(), body());
    let turn = Arc::new(Semaphore::new(0));
    world.origin.serve(&name, Serve::status(503).in_turn(&turn));
    let crowd = join_all((0..CROWD).map(|_| get(&child, &path)));
    let fails = async {
        let (joins, following) = ("mcsp_cache_joins_total", (CROWD - 1) as f64);
        child.counts(joins, &["\"follow\""], following).await;
        turn.add_permits(CROWD);
    };
    let (crowd, ()) = join(crowd, fails).await;
    for answer in crowd {
        assert_eq!(answer.status(), 200);
        let status = caches(&answer);
        assert!(status.contains("; detail=stale-parent"), "{status}");
        assert_eq!(answer.bytes().await.unwrap(), body());
    }
    assert_eq!(tries(&child, "stale").await, 1.0);
    assert_eq!(child.state(&name).await, "absent");
}

#[tokio::test]
async fn a_parent_that_does_not_hear_its_feed_asks_the_origin_before_it_answers() {
    let world = World::new().await;
    let name = origin_path(Global, REST);
    let lagging = world.another_origin().await;
    world.publish_keys_by(&lagging);
    lagging.serve(&name, segment());
    let extra = format!("{LISTENER}[proxy.trust]\nrevalidate_after_ms = 3000\n");
    let origins = [lagging.address];
    let parent = world.start_with_origins("los1-p", &origins, &extra).await;
    parent.wait_ready().await;
    let caller = world.identity("edge", "abv1");
    let position = position_of(&parent).await;
    let asked = async || {
        let answer = ask(address_of(&parent), &caller, &name, &position).await;
        assert_eq!(status_of(&answer), "200");
        lagging.count(&name)
    };
    assert_eq!((asked().await, asked().await), (1, 1));
    lagging.feed.set_away(true);
    parent.wait_feed_cut().await;
    wait_for("a validation", || async { asked().await == 2 }).await;
    wait_for("the object", || async {
        parent.state(&name).await == "fresh"
    })
    .await;
}
