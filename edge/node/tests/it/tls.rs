//! TLS to viewers.

use std::sync::Arc;

use mcsp_api::Residency::Global;
use reqwest::Version;
use tokio::sync::Notify;

use crate::harness::{Serve, World, client, header, origin_path};

#[tokio::test]
async fn viewers_get_h2_and_hsts_over_tls() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let rest = "v360/1.m4s";
    let body = vec![3u8; 300_000];
    world
        .origin
        .serve(&origin_path(Global, rest), Serve::ok(body.clone()));
    let url = format!(
        "https://localhost:{}{}",
        node.tls.port(),
        world.media_path(Global, rest)
    );
    for status in ["fwd=uri-miss", "hit"] {
        let response = client().get(&url).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.version()),
            (200, Version::HTTP_2)
        );
        assert_eq!(
            header(response.headers(), "strict-transport-security"),
            Some("max-age=31536000")
        );
        assert!(
            header(response.headers(), "cache-status")
                .unwrap()
                .contains(status)
        );
        assert_eq!(response.bytes().await.unwrap(), body);
    }
    let ranged = client()
        .get(&url)
        .header("range", "bytes=5-9")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (ranged.status().as_u16(), ranged.version()),
        (206, Version::HTTP_2)
    );
    assert_eq!(ranged.bytes().await.unwrap().len(), 5);
    for url in [url.as_str(), &url.replace(rest, "v360/2.m4s")] {
        let head = client().head(url).send().await.unwrap();
        assert_eq!(head.version(), Version::HTTP_2);
        let whole = client().get(url).send().await.unwrap();
        assert_eq!(head.status(), whole.status());
        let length = whole.bytes().await.unwrap().len().to_string();
        assert_eq!(header(head.headers(), "content-length"), Some(&*length));
        assert!(head.bytes().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_response_that_breaks_off_is_an_error_over_h2_too() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let rest = "v360/1.m4s";
    let gate = Arc::new(Notify::new());
    let broken = Serve::ok(vec![3u8; 300_000])
        .broken_at(100_000)
        .gated(&gate);
    world.origin.serve(&origin_path(Global, rest), broken);
    let url = format!(
        "https://localhost:{}{}",
        node.tls.port(),
        world.media_path(Global, rest)
    );
    let mut response = client().get(&url).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.version()),
        (200, Version::HTTP_2)
    );
    response.chunk().await.unwrap().unwrap();
    gate.notify_one();
    assert!(response.bytes().await.is_err());
}

#[tokio::test]
async fn an_upload_over_h2_keeps_the_host_it_was_signed_for() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let key = format!("/mcsp-ng/ng/{}/source/original", crate::harness::CONTENT);
    world.origin.serve(&key, Serve::ok(""));
    let url = format!(
        "https://localhost:{}/storage{key}?X-Amz-Signature=ab",
        node.tls.port()
    );
    let response = client()
        .put(&url)
        .body(vec![1u8; 200_000])
        .send()
        .await
        .unwrap();
    assert_eq!(
        (response.status().as_u16(), response.version()),
        (200, Version::HTTP_2)
    );
    let seen = &world.origin.seen()[0];
    assert_eq!(
        seen.headers.get("host").unwrap(),
        &format!("localhost:{}", node.tls.port())
    );
    assert_eq!(seen.body.len(), 200_000);
}
