//! `NG` bytes stay in Nigeria.

use mcsp_api::Residency;
use mcsp_auth_edge::TokenForm;
use reqwest::Method;

use crate::harness::{CONTENT, Serve, World, cache_status, get, header, origin_path, wait_for};

#[tokio::test]
async fn london_sends_ng_media_to_nigeria_and_keeps_none_of_it() {
    let world = World::new().await;
    let london = world.node("lhr1").await;
    let rest = "v360/1.m4s";
    let name = origin_path(Residency::Ng, rest);
    world
        .origin
        .serve(&name, Serve::ok("bytes that stay in Nigeria"));
    let path = world.media_path(Residency::Ng, rest);
    for method in [Method::GET, Method::HEAD] {
        let response = london.request(method, &path).send().await.unwrap();
        assert_eq!(response.status(), 307);
        assert_eq!(
            header(response.headers(), "location"),
            Some(format!("https://los1.example{path}").as_str())
        );
        assert_eq!(
            header(response.headers(), "access-control-allow-origin"),
            Some("*")
        );
        assert_eq!(cache_status(&response), "lhr1; detail=residency");
        assert_eq!(response.bytes().await.unwrap().len(), 0);
    }
    assert!(world.origin.seen().is_empty(), "no origin was asked");
    assert_eq!(london.state(&name).await, "absent");
    assert_eq!(london.metric("mcsp_cache_fills_total", &[]).await, 0.0);
    assert_eq!(
        london
            .metric("mcsp_edge_residency_kept_out_total", &["media-segment"])
            .await,
        2.0
    );

    let lagos = world.node("los1").await;
    assert_eq!(
        get(&lagos, &path).await.text().await.unwrap(),
        "bytes that stay in Nigeria"
    );
    wait_for("the object", || async {
        lagos.state(&name).await == "fresh"
    })
    .await;
}

#[tokio::test]
async fn london_holds_nothing_that_signs_for_lagos() {
    let world = World::new().await;
    let rest = "v360/1.m4s";
    world
        .origin
        .serve(&origin_path(Residency::Global, rest), Serve::ok("bytes"));
    let mut london = world.node("lhr1").await;
    let lagos = world.node("los1").await;
    let grant = world.grant(Residency::Global);
    let path = |form| {
        let token = world.sign_as(&grant, form);
        format!("/media/{token}/global/{CONTENT}/{rest}")
    };
    let (secret, public) = (path(TokenForm::Hmac), path(TokenForm::Ed25519));
    let status = async |node, path: &str| get(node, path).await.status().as_u16();
    assert_eq!(status(&lagos, &secret).await, 200);
    assert_eq!(status(&lagos, &public).await, 200);
    assert_eq!(status(&london, &public).await, 200);
    let refused = get(&london, &secret).await;
    assert_eq!(refused.status(), 403);
    assert_eq!(cache_status(&refused), "lhr1; detail=unknown-key");
    // Both generations were sent here, which no origin does: they are counted, and not written down.
    let count = "mcsp_edge_feed_entries_total";
    let refused = london.metric(count, &["media_key", "refused"]).await;
    assert_eq!(refused, 2.0);
    london.terminate();
    assert!(london.wait().await.success());
    let kept = std::fs::read_to_string(london.dir.join("feed.json")).unwrap();
    assert!(kept.contains("ed25519") && !kept.contains("hmac"), "{kept}");
}

#[tokio::test]
async fn a_bad_url_of_ng_media_is_refused_where_the_bytes_are() {
    let world = World::new().await;
    let (london, lagos) = (world.node("lhr1").await, world.node("los1").await);
    // London cannot tell: it has no key for tokens of Lagos' own nodes. The question is all that it gives back.
    let path = format!("/media/forged/ng/{CONTENT}/v360/1.m4s");
    assert_eq!(get(&london, &path).await.status(), 307);
    assert_eq!(get(&lagos, &path).await.status(), 403);
    assert!(world.origin.seen().is_empty(), "no origin was asked");
}

#[tokio::test]
async fn london_takes_no_upload_for_nigeria() {
    let world = World::new().await;
    let london = world.node("lhr1").await;
    let path = |bucket: &str, residency: &str| {
        format!(
            "/storage/{bucket}/{residency}/{CONTENT}/source/original?partNumber=1&X-Amz-Signature=ab"
        )
    };
    let put = |path: String| london.request(Method::PUT, &path).body("part").send();
    assert_eq!(put(path("mcsp-ng", "ng")).await.unwrap().status(), 421);
    assert_eq!(
        put(path("mcsp-global", "ng")).await.unwrap().status(),
        404,
        "not by another bucket's name"
    );
    assert!(world.origin.seen().is_empty());
    put(path("mcsp-global", "global")).await.unwrap();
    assert_eq!(world.origin.seen().len(), 1);
}
