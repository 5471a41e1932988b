//! The shield tier: children that ask parents, and what becomes of that when a parent is gone.

use std::sync::Arc;

use futures::future::join_all;
use mcsp_api::Residency::Global;
use reqwest::{Method, Response};
use tokio::sync::Notify;

use crate::harness::tier::{
    LISTENER, NOBODY, REST, address_of, body, caches, children_of, fallbacks, segment, tier, tries,
};
use crate::harness::{CONTENT, Node, World, get, header, origin_path, wait_for};

#[tokio::test]
async fn fifty_viewers_at_four_nodes_are_one_fetch_of_the_region() {
    let world = World::new().await;
    let (parent, children) = tier(&world, 4).await;
    let name = origin_path(Global, REST);
    let gate = Arc::new(Notify::new());
    world.origin.serve(&name, segment().gated(&gate));
    let path = world.media_path(Global, REST);
    let viewers = (0..50).map(|nth| {
        let (node, path) = (&children[nth % 4], &path);
        async move {
            let mut response = get(node, path).await;
            assert_eq!(response.status(), 200);
            // The origin has not sent its second half.
            let first = response.chunk().await.unwrap().unwrap();
            (caches(&response), first, response)
        }
    });
    let begun = join_all(viewers).await;
    assert_eq!(world.origin.count(&name), 1);
    gate.notify_one();
    let mut through_parent = 0;
    for (status, first, response) in begun {
        // Whoever caused his node to ask is told of both caches, the one nearest to the origin first.
        if status.starts_with("los1/p; ") {
            assert!(status.contains(", abv1; fwd=uri-miss; "), "{status}");
            through_parent += 1;
        }
        let whole = [first, response.bytes().await.unwrap()].concat();
        assert_eq!(whole, body());
    }
    assert_eq!(through_parent, 4);
    assert_eq!(world.origin.count(&name), 1);
    for child in &children {
        let held = get(child, &path).await;
        let status = caches(&held);
        assert!(status.starts_with("abv1; hit; ttl="), "{status}");
        assert!(header(held.headers(), "x-mcsp-parent").is_none());
        assert!(header(held.headers(), "surrogate-key").is_none());
        let tags = &child.inspect(&name).await["variants"][0]["surrogate_keys"];
        assert_eq!(tags[0], CONTENT, "children purge by what the origin said");
        assert_eq!(fallbacks(child, "").await, 0.0);
    }
    let answers = "mcsp_edge_shield_answers_total";
    parent.counts(answers, &["\"miss\""], 1.0).await;
    parent.counts(answers, &["\"hit\""], 3.0).await;
    let asked = &world.origin.seen()[0].headers;
    assert!(
        header(asked, "cdn-loop")
            .unwrap()
            .starts_with("p.los1.mcsp-edge; run=")
    );
    assert_eq!(header(asked, "x-mcsp-feed-position"), None);
}

#[tokio::test]
async fn the_age_of_what_a_parent_held_goes_on_and_slices_come_through_it() {
    let world = World::new().await;
    let (_parent, children) = tier(&world, 2).await;
    let name = origin_path(Global, REST);
    world.origin.serve(&name, segment().with("age", "100"));
    let path = world.media_path(Global, REST);
    let part = children[0].request(Method::GET, &path);
    let part = part
        .header("range", "bytes=270000-270009")
        .send()
        .await
        .unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.bytes().await.unwrap(), body().slice(270_000..270_010));
    assert_eq!(world.origin.count(&name), 1);
    let asked = &world.origin.seen()[0].headers;
    assert!(header(asked, "range").unwrap().starts_with("bytes=262144-"));
    let whole = get(&children[1], &path).await;
    let age: u32 = header(whole.headers(), "age").unwrap().parse().unwrap();
    assert!(age >= 100, "{age}");
    let date = |response: &Response| header(response.headers(), "date").map(str::to_owned);
    let date_of_origin = date(&whole);
    assert_eq!(whole.bytes().await.unwrap(), body());
    let again = get(&children[0], &path).await;
    assert_eq!(date(&again), date_of_origin, "the origin's own");
    assert_eq!(again.bytes().await.unwrap(), body());
    // What the first slice lacked, once.
    assert_eq!(world.origin.count(&name), 2);
}

#[tokio::test]
async fn a_parent_that_dies_in_the_middle_costs_no_viewer_a_byte() {
    let world = World::new().await;
    let (mut parent, children) = tier(&world, 4).await;
    let name = origin_path(Global, REST);
    let gate = Arc::new(Notify::new());
    world.origin.serve(&name, segment().gated(&gate));
    let path = world.media_path(Global, REST);
    let viewers = (0..12).map(|nth| {
        let (node, path) = (&children[nth % 4], &path);
        async move {
            let mut response = get(node, path).await;
            let first = response.chunk().await.unwrap().unwrap();
            (first, response)
        }
    });
    let begun = join_all(viewers).await;
    parent.kill();
    for (first, response) in begun {
        let whole = [first, response.bytes().await.unwrap()].concat();
        assert_eq!(whole, body());
    }
    for child in &children {
        assert_eq!(
            tries(child, "unreachable").await,
            0.0,
            "the one that broke off is left out"
        );
        assert_eq!(fallbacks(child, "none").await, 1.0);
        wait_for("what was put together is whole", || async {
            child.state(&name).await == "fresh"
        })
        .await;
    }
}

#[tokio::test]
async fn without_a_parent_that_answers_the_origin_is_asked_and_soon_at_once() {
    let world = World::new().await;
    // Once it is left alone it stays so, however long the rest takes.
    let extra = children_of(&[("gone", NOBODY.parse().unwrap())]).replace(
        "[shield]\n",
        "[shield]\nunhealthy_ms = 600000\nunhealthy_ms_max = 600000\n",
    );
    let child = world.node_with("abv1", &extra).await;
    for nth in 1..=5 {
        let rest = format!("v360/{nth}.m4s");
        world.origin.serve(&origin_path(Global, &rest), segment());
        let response = get(&child, &world.media_path(Global, &rest)).await;
        assert_eq!(
            caches(&response),
            "abv1; fwd=uri-miss; fwd-status=200; stored; detail=past-parents"
        );
        assert_eq!(response.bytes().await.unwrap(), body());
    }
    // After three it is left alone.
    assert_eq!(tries(&child, "unreachable").await, 3.0);
    assert!(fallbacks(&child, "none").await >= 1.0);
    let state = child.shield_state().await;
    assert_eq!(state["is_parent"], false);
    let parent = &state["parents"][0];
    assert_eq!(
        (parent["id"].as_str(), parent["pop"].as_str()),
        (Some("gone"), Some("los1"))
    );
    assert!(parent["failures"].as_u64().unwrap() >= 3);
}

async fn wait_done(node: &Node, outcome: &str, count: f64) {
    let name = "mcsp_edge_prefetch_done_total";
    wait_for("what is fetched ahead", || async {
        node.metric(name, &[outcome]).await >= count
    })
    .await;
}

#[tokio::test]
async fn what_is_fetched_ahead_comes_through_the_parent_where_its_viewers_leave_room() {
    let world = World::new().await;
    let on = "[prefetch]\nwait_ms_max = 60000\nrun_timeout_ms = 60000\nahead_max = 1\n";
    let two = "[prefetch]\nenabled = false\nviewer_fetches_max = 2\n";
    let parent = world.node_with("los1-p", &format!("{LISTENER}{two}")).await;
    let extra = format!("{}{on}", children_of(&[("p", address_of(&parent))]));
    let child = world.node_with("abv1", &extra).await;
    for nth in 1..=6 {
        let name = origin_path(Global, &format!("v360/{nth}.m4s"));
        world.origin.serve(&name, segment());
    }
    let asked = |nth: u32| {
        world
            .origin
            .count(&origin_path(Global, &format!("v360/{nth}.m4s")))
    };
    let first: Response = get(&child, &world.media_path(Global, "v360/1.m4s")).await;
    first.bytes().await.unwrap();
    wait_done(&child, "\"stored\"", 1.0).await;
    assert_eq!((asked(1), asked(2), asked(3)), (1, 1, 0));
    assert_eq!(tries(&child, "miss").await, 2.0);
    // Two viewers of the parent's own wait: that is all the room there is.
    let gate = Arc::new(Notify::new());
    let mut waiting = Vec::new();
    for rest in ["v720/8.m4s", "v720/9.m4s"] {
        let serve = segment().gated(&gate);
        world.origin.serve(&origin_path(Global, rest), serve);
        let mut viewer = get(&parent, &world.media_path(Global, rest)).await;
        viewer.chunk().await.unwrap();
        waiting.push(viewer);
    }
    get(&child, &world.media_path(Global, "v360/5.m4s")).await;
    wait_done(&child, "\"failed\"", 1.0).await;
    assert_eq!(
        (asked(5), asked(6)),
        (1, 0),
        "viewers are served, and nothing else"
    );
    assert_eq!(tries(&child, "later").await, 1.0);
    assert_eq!(fallbacks(&child, "").await, 0.0);
    gate.notify_waiters();
}

#[tokio::test]
async fn what_a_dead_parent_would_have_had_is_asked_of_the_next() {
    let world = World::new().await;
    let one = world.node_with("los1-p1", LISTENER).await;
    let mut other = world.node_with("los1-p2", LISTENER).await;
    let parents = [("p1", address_of(&one)), ("p2", address_of(&other))];
    let child = world.node_with("abv1", &children_of(&parents)).await;
    let object = async |nth: u32| {
        let rest = format!("v360/{nth}.m4s");
        let name = origin_path(Global, &rest);
        world.origin.serve(&name, segment());
        let response = get(&child, &world.media_path(Global, &rest)).await;
        let status = caches(&response);
        assert_eq!(response.bytes().await.unwrap(), body());
        assert_eq!(world.origin.count(&name), 1);
        status
    };
    let mut homes = Vec::new();
    for nth in 0..12 {
        homes.push(object(nth).await.starts_with("los1/p1; "));
    }
    assert!(homes.contains(&true) && homes.contains(&false), "{homes:?}");
    other.kill();
    for nth in 12..24 {
        let status = object(nth).await;
        assert!(status.starts_with("los1/p1; fwd=uri-miss"), "{status}");
    }
    assert_eq!(fallbacks(&child, "").await, 0.0);
    let failed = tries(&child, "unreachable").await;
    assert!(failed > 0.0 && failed < 12.0, "{failed}");
}

#[tokio::test]
async fn a_parent_with_too_much_to_do_says_so_and_is_passed_by() {
    let world = World::new().await;
    let one_at_once = format!("{LISTENER}requests_max = 1\n");
    let parent = world.node_with("los1-p", &one_at_once).await;
    let extra = children_of(&[("p", address_of(&parent))]);
    let child = world.node_with("abv1", &extra).await;
    let gate = Arc::new(Notify::new());
    let name = origin_path(Global, REST);
    world.origin.serve(&name, segment().gated(&gate));
    let mut waiting = get(&child, &world.media_path(Global, REST)).await;
    waiting.chunk().await.unwrap();
    let other = "v360/2.m4s";
    world.origin.serve(&origin_path(Global, other), segment());
    let response = get(&child, &world.media_path(Global, other)).await;
    assert!(caches(&response).ends_with("detail=past-parents"));
    assert_eq!(response.bytes().await.unwrap(), body());
    assert_eq!(fallbacks(&child, "busy").await, 1.0);
    gate.notify_one();
    waiting.bytes().await.unwrap();
    assert_eq!(world.origin.count(&name), 1);
}
