//! The shield tier: what a parent refuses, and what a node refuses to run with.

use mcsp_api::Residency::{Global, Ng};
use reqwest::Method;

use crate::harness::tier::{
    LISTENER, NOBODY, REST, address_of, ask, body, caches, children_of, fallbacks, position_of,
    segment, status_of, tries,
};
use crate::harness::{CONTENT, World, get, origin_path, reserved};

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

/// A child takes an answer without a parent's word for that of no parent, and leaves it alone.
#[tokio::test]
async fn no_viewers_conditions_are_too_long_for_a_parent() {
    let world = World::new().await;
    let parent = world.node_with("los1-p", LISTENER).await;
    let (address, position) = (address_of(&parent), position_of(&parent).await);
    let name = origin_path(Global, REST);
    world.origin.serve(&name, segment());
    // As long as what viewers may send, beside what children add.
    let longest = format!("{position}if-none-match: \"{}\"\r\n", "x".repeat(32_700));
    let answer = ask(address, &world.identity("edge", "abv1"), &name, &longest).await;
    assert_eq!(status_of(&answer), "200");
    assert!(answer.contains("\r\nx-mcsp-parent: "), "{answer}");
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
    let extra = children_of(&[("p", address)]);
    let child = world.node_with("abv1-c", &extra).await;
    let viewer = get(&child, &world.media_path(Ng, REST)).await;
    assert!(caches(&viewer).starts_with("los1/p; hit; "));
    assert_eq!(viewer.bytes().await.unwrap(), body());
    assert_eq!(world.origin.count(&name), 1);
    let kept_out = "mcsp_edge_residency_kept_out_total";
    assert_eq!(london.metric(kept_out, &["shield"]).await, 2.0);
}

#[tokio::test]
async fn a_node_that_is_its_own_parent_does_not_ask_itself_in_circles() {
    let world = World::new().await;
    let (_reserved, address) = reserved();
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
