//! The shield tier: children that ask parents, and what a parent holds to.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use mcsp_api::Residency::{Global, Ng};
use mcsp_api::proto::feed::purge::Target;
use mcsp_identity::{Dialer, WorkloadIdentity};
use reqwest::{Method, Response};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use crate::harness::{CONTENT, Node, Origin, Serve, World, get, header, origin_path, wait_for};

const REST: &str = "v360/1.m4s";
const LISTENER: &str = "[shield.listener]\naddress = \"127.0.0.1:0\"\n";
const NOBODY: &str = "127.0.0.1:9";

fn body() -> Bytes {
    (0..300_000_u32)
        .map(|n| (n % 251) as u8)
        .collect::<Vec<_>>()
        .into()
}

/// Of 300 kB, with all that a cache goes by.
fn segment() -> Serve {
    Serve::ok(body())
        .with("cache-control", "public, max-age=600")
        .with("etag", "\"one\"")
        .with("surrogate-key", CONTENT)
        .ranged()
}

fn children_of(parents: &[(&str, SocketAddr)]) -> String {
    let parent = |(id, address): &(&str, SocketAddr)| {
        format!(
            "[[shield.parent]]\nid = \"{id}\"\npop = \"los1\"\nregion = \"ng-lagos\"\naddress = \"{address}\"\n"
        )
    };
    // Machines that run tests are slow.
    let patience = "[shield]\nconnect_timeout_ms = 5000\nhead_timeout_ms = 8000\n";
    let parents: String = parents.iter().map(parent).collect();
    format!("{patience}{parents}")
}

fn address_of(parent: &Node) -> SocketAddr {
    parent.shield.unwrap()
}

/// A parent in Lagos, and children in Abuja.
async fn tier(world: &World, children: usize) -> (Node, Vec<Node>) {
    let parent = world.node_with("los1-p", LISTENER).await;
    let extra = children_of(&[("p", address_of(&parent))]);
    let mut nodes = Vec::new();
    for nth in 0..children {
        nodes.push(world.node_with(&format!("abv1-c{nth}"), &extra).await);
    }
    (parent, nodes)
}

async fn tries(child: &Node, outcome: &str) -> f64 {
    let outcome = format!("outcome=\"{outcome}\"");
    let name = "mcsp_edge_shield_tries_total";
    child.metric(name, &[outcome.as_str()]).await
}

async fn fallbacks(child: &Node, why: &str) -> f64 {
    let why = format!("why=\"{why}\"");
    let name = "mcsp_edge_shield_fallbacks_total";
    child.metric(name, &[why.as_str()]).await
}

/// What all caches that took part say, the one nearest to the origin first.
fn caches(response: &Response) -> String {
    let lines = response.headers().get_all("cache-status").iter();
    let lines: Vec<_> = lines.map(|line| line.to_str().unwrap()).collect();
    lines.join(", ")
}

/// What a parent answers to a request made by hand.
async fn ask(parent: SocketAddr, identity: &WorkloadIdentity, path: &str, fields: &str) -> String {
    let name = ServerName::try_from("localhost").unwrap();
    let dialer = Dialer::new(identity, &parent.to_string(), name, &[b"http/1.1"]).unwrap();
    let mut stream = dialer.dial().await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: p\r\nconnection: close\r\n{fields}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A refusal may end the connection without a word of TLS.
    let _ = stream.read_to_end(&mut answer).await;
    // Names of fields are in no certain case.
    String::from_utf8_lossy(&answer).to_lowercase()
}

/// Where a node is with its feed, as its children tell it.
async fn position_of(node: &Node) -> String {
    let feed = node.shield_state().await["feed"].clone();
    let text = |key: &str| feed[key].as_str().unwrap().to_owned();
    let sequence = &feed["sequence"];
    let (region, epoch) = (text("region"), text("epoch"));
    format!("x-mcsp-feed-position: {region} {sequence} {epoch}\r\n")
}

fn status_of(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

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
    assert_eq!(parent.metric(answers, &["\"miss\""]).await, 1.0);
    assert_eq!(parent.metric(answers, &["\"hit\""]).await, 3.0);
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
    assert_eq!(whole.bytes().await.unwrap(), body());
    let again = get(&children[0], &path).await;
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
        assert_eq!(
            child.state(&name).await,
            "fresh",
            "what was put together is whole"
        );
    }
}

#[tokio::test]
async fn without_a_parent_that_answers_the_origin_is_asked_and_soon_at_once() {
    let world = World::new().await;
    let extra = children_of(&[("gone", NOBODY.parse().unwrap())]);
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
    // After three it is left alone; its time may be over within the test.
    assert!(tries(&child, "unreachable").await < 5.0);
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

/// A parent whose feed is of another origin with the same history, which may fall behind.
async fn behind(world: &World, name: &str) -> (Origin, Node, Node) {
    let lagging = world.another_origin().await;
    world.publish_keys_by(&lagging);
    lagging.serve(name, segment());
    let origins = [lagging.address];
    let parent = world.start_with_origins("los1-p", &origins, LISTENER).await;
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
    let (lagging, parent, child) = behind(&world, &name).await;
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
    assert_eq!(
        parent.state(&name).await,
        "fresh",
        "the parent has the old one still"
    );
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
    let (lagging, parent, _child) = behind(&world, &name).await;
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

#[tokio::test]
async fn what_stands_in_for_a_failed_origin_is_served_and_not_kept() {
    let world = World::new().await;
    let (_parent, children) = tier(&world, 2).await;
    let name = origin_path(Global, REST);
    let serve = segment().with("cache-control", "max-age=0, stale-if-error=600");
    let headers = serve
        .headers
        .iter()
        .filter(|(_, value)| value != "public, max-age=600");
    let headers: Vec<_> = headers.cloned().collect();
    world.origin.serve(&name, Serve { headers, ..serve });
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
async fn who_is_not_invited_gets_nothing() {
    let world = World::new().await;
    let parent = world.node_with("los1-p", LISTENER).await;
    let (address, position) = (address_of(&parent), position_of(&parent).await);
    let name = origin_path(Global, REST);
    world.origin.serve(&name, segment());
    for (namespace, account) in [
        ("ng-lagos", "origin"),
        ("edge", "xyz9"),
        ("ng-lagos", "abv1"),
    ] {
        let caller = world.identity(namespace, account);
        let answer = ask(address, &caller, &name, &position).await;
        assert_eq!(status_of(&answer), "403", "{namespace}/{account}");
        assert!(
            answer.contains("\r\nx-mcsp-parent: refused\r\n"),
            "{answer}"
        );
    }
    let plain = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    let without_certificate = plain.get(format!("https://{address}{name}")).send().await;
    assert!(without_certificate.is_err());
    assert!(world.origin.seen().is_empty());
    let invited = world.identity("edge", "abv1");
    let paths = [
        format!("/media/global/{CONTENT}/source/original"),
        format!("/media/token/global/{CONTENT}/{REST}"),
        "/api/v1/users/me".to_owned(),
        "/storage/mcsp-global/global/x".to_owned(),
        "//assets/x".to_owned(),
    ];
    for path in paths {
        let answer = ask(address, &invited, &path, &position).await;
        assert_eq!(status_of(&answer), "404", "{path}");
    }
    assert!(world.origin.seen().is_empty());
    let answer = ask(address, &invited, &name, &position).await;
    assert_eq!(status_of(&answer), "200");
    assert!(answer.contains("\r\nsurrogate-key: "), "{answer}");
}

#[tokio::test]
async fn bytes_of_nigeria_pass_between_nodes_in_nigeria_only() {
    let world = World::new().await;
    let name = origin_path(Ng, REST);
    world.origin.serve(&name, segment());
    let lagos = world.node_with("los1-p", LISTENER).await;
    let london = world.node_with("lhr1-p", LISTENER).await;
    for (parent, child, status) in [
        (&lagos, "lhr1", "421"),
        (&london, "los1", "421"),
        (&london, "lhr1", "421"),
    ] {
        let (address, position) = (address_of(parent), position_of(parent).await);
        let caller = world.identity("edge", child);
        let answer = ask(address, &caller, &name, &position).await;
        assert_eq!(status_of(&answer), status, "{child}: {answer}");
        assert!(
            answer.contains("\r\nx-mcsp-parent: refused\r\n"),
            "{answer}"
        );
        assert_eq!(parent.state(&name).await, "absent");
    }
    assert!(world.origin.seen().is_empty(), "no origin was asked");
    let (address, position) = (address_of(&lagos), position_of(&lagos).await);
    let abuja = world.identity("edge", "abv1");
    let answer = ask(address, &abuja, &name, &position).await;
    assert_eq!(status_of(&answer), "200");
    let kept_out = "mcsp_edge_residency_kept_out_total";
    assert_eq!(london.metric(kept_out, &["shield"]).await, 2.0);
}

#[tokio::test]
async fn a_node_that_is_its_own_parent_does_not_ask_itself_in_circles() {
    let world = World::new().await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let extra = format!(
        "{}[shield.listener]\naddress = \"{address}\"\n",
        children_of(&[("self", address)])
    );
    let node = world.node_with("los1-p", &extra).await;
    let name = origin_path(Global, REST);
    world.origin.serve(&name, segment());
    let response = get(&node, &world.media_path(Global, REST)).await;
    assert_eq!(response.bytes().await.unwrap(), body());
    assert_eq!(world.origin.count(&name), 1);
    assert_eq!(tries(&node, "refused").await, 1.0);
    assert_eq!(fallbacks(&node, "refused").await, 1.0);
    // And by the other doors.
    let looped = node
        .request(Method::GET, "/")
        .header("cdn-loop", "other, p.los1.mcsp-edge");
    assert_eq!(looped.send().await.unwrap().status(), 508);
    let looped = node
        .request(Method::GET, "/api/v1/users/me")
        .header("cdn-loop", "p.los1.mcsp-edge");
    assert_eq!(looped.send().await.unwrap().status(), 508);
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
    let one = "[prefetch]\nenabled = false\nviewer_fetches_max = 1\n";
    let parent = world.node_with("los1-p", &format!("{LISTENER}{one}")).await;
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
    // A viewer of the parent's own waits: that is all the room there is.
    let gate = Arc::new(Notify::new());
    let busy = origin_path(Global, "v720/9.m4s");
    world.origin.serve(&busy, segment().gated(&gate));
    let mut waiting = get(&parent, &world.media_path(Global, "v720/9.m4s")).await;
    waiting.chunk().await.unwrap();
    get(&child, &world.media_path(Global, "v360/5.m4s")).await;
    wait_done(&child, "\"failed\"", 1.0).await;
    assert_eq!(
        (asked(5), asked(6)),
        (1, 0),
        "viewers are served, and nothing else"
    );
    assert_eq!(tries(&child, "later").await, 1.0);
    assert_eq!(fallbacks(&child, "").await, 0.0);
    gate.notify_one();
}

#[tokio::test]
async fn parents_that_cannot_be_are_named_before_the_node_runs() {
    let world = World::new().await;
    let parent = |pop: &str, region: &str| {
        format!(
            "[[shield.parent]]\nid = \"p\"\npop = \"{pop}\"\nregion = \"{region}\"\naddress = \"{NOBODY}\"\n"
        )
    };
    for (extra, wanted) in [
        (
            parent("lhr1", "ng-lagos"),
            "shield.parent \"p\" pop = lhr1: expected a PoP whose home region is \"ng-lagos\"",
        ),
        (
            parent("xyz9", "ng-lagos"),
            "shield.parent \"p\" pop = xyz9: expected a PoP of the PoP configuration",
        ),
        (
            parent("los1", "mars"),
            "shield.parent \"p\" region = mars: expected the id of a [[proxy.upstream.region]]",
        ),
        ("[shield]\ncolour = 1\n".to_owned(), "colour"),
    ] {
        let said = world.check("abv1", &extra);
        assert!(said.contains(wanted), "{said} has no {wanted:?}");
    }
}
