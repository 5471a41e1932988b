//! `NG` bytes stay in Nigeria.

use mcsp_api::Residency;
use reqwest::Method;

use crate::harness::{CONTENT, Serve, World, cache_status, get, header, origin_path};

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
    assert_eq!(london.inspect(&name).await["state"], "absent");
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
    assert_eq!(lagos.inspect(&name).await["state"], "fresh");
}

#[tokio::test]
async fn london_refuses_a_bad_url_before_it_says_where_to_go() {
    let world = World::new().await;
    let london = world.node("lhr1").await;
    let response = get(&london, &format!("/media/forged/ng/{CONTENT}/v360/1.m4s")).await;
    assert_eq!(response.status(), 403);
    assert!(header(response.headers(), "location").is_none());
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
