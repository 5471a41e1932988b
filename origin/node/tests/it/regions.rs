//! Two regions on one machine: each at home with its own, and both heard by the other.

use std::time::Duration;

use http::Method;
use mcsp_api::proto::feed::SubscribeRequest;
use mcsp_api::proto::feed::edge_feed_client::EdgeFeedClient;
use mcsp_api::proto::feed::feed_entry::Change;
use mcsp_api::proto::feed::feed_message::Message;
use mcsp_api::{Role, ViewerIdentity};
use mcsp_rpc::RpcChannel;
use serde_json::{Value, json};

use crate::support::{Machine, Running, SOON, fetch, from_edge, request, upload_request, viewer};

async fn create(
    machine: &Machine,
    node: &Running,
    region: &str,
    pop: &str,
    creator: &ViewerIdentity,
    residency: &str,
) -> (u16, Value) {
    let body = upload_request(residency);
    let request = request(Method::POST, "/api/v1/uploads/session", Some(&body));
    fetch(
        machine,
        node.addresses.rpc,
        region,
        pop,
        from_edge(request, Some(creator)),
    )
    .await
}

async fn two_regions(machine: &Machine) -> (Running, Running) {
    let lagos = machine
        .start(machine.config("ng-lagos", "origin", ""))
        .await;
    let peer = format!("[peers.ng-lagos]\naddress = \"{}\"\n", lagos.addresses.rpc);
    let london = machine
        .start(machine.config("global-london", "origin", &peer))
        .await;
    (lagos, london)
}

#[tokio::test(flavor = "multi_thread")]
async fn nigerian_uploads_get_their_home_in_nigeria_wherever_they_begin() {
    let machine = Machine::new();
    let (lagos, london) = two_regions(&machine).await;
    let creator = viewer(Role::Creator, 1);
    let region_of = |session: &Value| session["content_id"].as_str().unwrap()[2..4].to_owned();

    let (status, session) =
        create(&machine, &london, "global-london", "lhr1", &creator, "NG").await;
    assert_eq!(status, 201, "{session}");
    assert_eq!(
        (region_of(&session).as_str(), session["residency"].as_str()),
        ("ng", Some("NG"))
    );
    let url = session["parts"][0]["url"].as_str().unwrap();
    assert!(url.contains("/storage/mcsp-ng/"), "{url}");
    assert!(
        !url.starts_with("https://lhr1."),
        "not through London: {url}"
    );
    let path = format!(
        "/api/v1/uploads/session/{}",
        session["upload_id"].as_str().unwrap()
    );
    let ask = || from_edge(request(Method::GET, &path, None), Some(&creator));
    assert_eq!(
        fetch(&machine, lagos.addresses.rpc, "ng-lagos", "lhr1", ask())
            .await
            .0,
        200
    );
    assert_eq!(
        fetch(
            &machine,
            london.addresses.rpc,
            "global-london",
            "lhr1",
            ask()
        )
        .await
        .0,
        404
    );
    assert!(
        !machine
            .path("data-global-london-origin/objects/mcsp-ng")
            .exists()
    );

    let (status, session) = create(
        &machine,
        &london,
        "global-london",
        "lhr1",
        &creator,
        "GLOBAL",
    )
    .await;
    assert_eq!((status, region_of(&session).as_str()), (201, "gl"));

    // With Nigeria cut off, nothing is decided for it elsewhere; what is global goes on.
    lagos.stop().await;
    assert_eq!(
        create(&machine, &london, "global-london", "lhr1", &creator, "NG")
            .await
            .0,
        503
    );
    assert_eq!(
        create(
            &machine,
            &london,
            "global-london",
            "lhr1",
            &creator,
            "GLOBAL"
        )
        .await
        .0,
        201
    );
    london.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_at_home_in_nigeria_signs_in_through_london_with_nigerias_tokens() {
    let machine = Machine::new();
    let (lagos, london) = two_regions(&machine).await;
    let account = json!({ "email": "ada@example.com", "password": "correct horse battery" });
    let mut registration = account.clone();
    registration["display_name"] = json!("Ada Obi");
    let post = |path: &str, body: &Value| from_edge(request(Method::POST, path, Some(body)), None);
    const REGISTER: &str = "/api/v1/auth/register";
    let login = || post("/api/v1/auth/login", &account);

    let register = post(REGISTER, &registration);
    let (status, at_home) =
        fetch(&machine, lagos.addresses.rpc, "ng-lagos", "los1", register).await;
    assert_eq!(status, 201, "{at_home}");
    let (status, away) = fetch(
        &machine,
        london.addresses.rpc,
        "global-london",
        "lhr1",
        login(),
    )
    .await;
    assert_eq!(status, 200, "{away}");
    assert_eq!(away["user"], at_home["user"]);
    let register = post(REGISTER, &registration);
    let (status, taken) = fetch(
        &machine,
        london.addresses.rpc,
        "global-london",
        "lhr1",
        register,
    )
    .await;
    assert_eq!(status, 409, "{taken}");

    lagos.stop().await;
    let (status, problem) = fetch(
        &machine,
        london.addresses.rpc,
        "global-london",
        "lhr1",
        login(),
    )
    .await;
    assert_eq!(status, 503, "{problem}");
    assert!(problem["retry_after_s"].as_u64().is_some(), "{problem}");
    registration["email"] = json!("ian@example.com");
    let register = post(REGISTER, &registration);
    let (status, answer) = fetch(
        &machine,
        london.addresses.rpc,
        "global-london",
        "lhr1",
        register,
    )
    .await;
    assert_eq!(status, 201, "people of London are not held up: {answer}");
    london.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_hears_both_regions_keys_and_secrets_stay_with_our_own_in_their_region() {
    let machine = Machine::new();
    let (lagos, london) = two_regions(&machine).await;
    // `lhr1` follows London, which mirrors Lagos.
    const SECRET: &str = "hmac-sha256";
    const PUBLIC: &str = "ed25519";
    let heard = keys_heard(&machine, &london, "global-london", "lhr1", 6).await;
    for (region, algorithm, count) in [
        ("global-london", SECRET, 2),
        ("global-london", PUBLIC, 2),
        ("ng-lagos", SECRET, 0),
        ("ng-lagos", PUBLIC, 2),
    ] {
        let of_kind = heard
            .iter()
            .filter(|key| key.0 == region && key.1 == algorithm);
        assert_eq!(of_kind.count(), count, "{region} {algorithm}: {heard:?}");
    }
    let heard = keys_heard(&machine, &lagos, "ng-lagos", "los1", 4).await;
    assert!(heard.iter().any(|key| key.1 == SECRET), "{heard:?}");
    // A partner's node follows Lagos.
    let heard = keys_heard(&machine, &lagos, "ng-lagos", "abv1", 2).await;
    assert!(heard.iter().all(|key| key.1 == PUBLIC), "{heard:?}");
    // Subscriptions do not hold a stop up.
    london.stop().await;
    lagos.stop().await;
}

/// Follows the feed until it has named the token keys of London and Lagos (or of Lagos alone, for a node there) and
/// `media_keys` media keys; returns their regions and algorithms.
async fn keys_heard(
    machine: &Machine,
    node: &Running,
    region: &str,
    pop: &str,
    media_keys: usize,
) -> Vec<(String, String)> {
    let name = format!("origin.{region}.mcsp.internal");
    let channel = RpcChannel::connect(
        &node.addresses.rpc.to_string(),
        &name,
        &machine.identity("edge", pop),
    )
    .unwrap();
    let request = SubscribeRequest {
        subscriber: pop.to_owned(),
        ..SubscribeRequest::default()
    };
    let follow = async {
        let mut stream = EdgeFeedClient::new(channel)
            .subscribe(request)
            .await
            .unwrap()
            .into_inner();
        let mut regions = std::collections::BTreeSet::new();
        let mut keys = Vec::new();
        let wanted = if region == "ng-lagos" { 1 } else { 2 };
        while regions.len() < wanted || keys.len() < media_keys {
            let message = stream.message().await.unwrap().expect("the stream goes on");
            match message.message {
                Some(Message::Entry(entry)) => match entry.change {
                    Some(Change::TokenKeySet(_)) => drop(regions.insert(entry.region)),
                    Some(Change::MediaKey(key)) => keys.push((entry.region, key.algorithm)),
                    _ => {}
                },
                _ => tokio::time::sleep(Duration::ZERO).await,
            }
        }
        keys
    };
    tokio::time::timeout(SOON, follow)
        .await
        .expect("the keys are heard of")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_serves_pages_and_refuses_strangers() {
    let machine = Machine::new();
    let lagos = machine
        .start(machine.config("ng-lagos", "origin", ""))
        .await;
    let (status, _) = fetch(
        &machine,
        lagos.addresses.rpc,
        "ng-lagos",
        "los1",
        request(Method::GET, "/watch/x", None),
    )
    .await;
    assert_eq!(status, 200);
    let (status, problem) = fetch(
        &machine,
        lagos.addresses.rpc,
        "ng-lagos",
        "los1",
        request(Method::GET, "/api/v1/none", None),
    )
    .await;
    assert_eq!(
        (status, problem["type"].as_str()),
        (404, Some("urn:mcsp:problem:not-found"))
    );
    let worker = machine.identity("ng-lagos", "media");
    let stranger = RpcChannel::connect(
        &lagos.addresses.rpc.to_string(),
        "origin.ng-lagos.mcsp.internal",
        &worker,
    )
    .unwrap();
    let status = EdgeFeedClient::new(stranger)
        .subscribe(SubscribeRequest::default())
        .await
        .expect_err("the worker has no business with the feed");
    assert_eq!(status.code(), tonic::Code::PermissionDenied);
    lagos.stop().await;
}
