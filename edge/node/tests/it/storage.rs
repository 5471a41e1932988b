//! The storage path: streamed through, Host and path as they were signed.

use bytes::Bytes;
use reqwest::Method;

use crate::harness::{CONTENT, Serve, World, header};

#[tokio::test]
async fn a_part_streams_through_as_it_was_signed() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let key = format!("/mcsp-ng/ng/{CONTENT}/source/original");
    let query = "partNumber=2&uploadId=abc%2Fd&X-Amz-Credential=k&X-Amz-Signature=ab%2Bc";
    world
        .origin
        .serve(&key, Serve::ok("").with("etag", "\"part\""));
    let part: Bytes = vec![7u8; 6 << 20].into();
    let request = node
        .request(Method::PUT, &format!("/storage{key}?{query}"))
        .header("host", "los1.example")
        .header("cookie", "a=b")
        .body(part.clone());
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(header(response.headers(), "etag"), Some("\"part\""));
    assert_eq!(
        header(response.headers(), "access-control-allow-origin"),
        Some("*")
    );
    assert!(
        header(response.headers(), "access-control-expose-headers")
            .unwrap()
            .contains("ETag")
    );
    let seen = world.origin.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (seen[0].method.as_str(), seen[0].path.as_str()),
        ("PUT", format!("{key}?{query}").as_str())
    );
    assert_eq!(seen[0].headers.get("host").unwrap(), "los1.example");
    assert!(!seen[0].headers.contains_key("cookie"));
    assert_eq!(seen[0].body, part);
}

#[tokio::test]
async fn unsigned_and_oversized_parts_are_refused() {
    let world = World::new().await;
    let node = world
        .node_with("los1", "[proxy.limits]\nstorage_body_bytes_max = 5242880\n")
        .await;
    let key = format!("/storage/mcsp-ng/ng/{CONTENT}/source/original");
    let put = |query: &str, bytes: usize| {
        node.request(Method::PUT, &format!("{key}{query}"))
            .body(vec![0u8; bytes])
            .send()
    };
    assert_eq!(put("", 1).await.unwrap().status(), 403);
    // The client may be cut off while it still sends, but it is never told that all is well.
    match put("?X-Amz-Signature=ab", (5 << 20) + 1).await {
        Ok(response) => assert_eq!(response.status(), 413),
        Err(error) => assert!(error.is_request(), "{error}"),
    }
    assert!(world.origin.seen().is_empty());
}

#[tokio::test]
async fn browsers_may_ask_first() {
    let world = World::new().await;
    let node = world.node("lhr1").await;
    let key = format!("/storage/mcsp-global/global/{CONTENT}/source/original");
    let media = format!("/media/any/global/{CONTENT}/v360/1.m4s");
    for (path, method) in [(key, "PUT"), (media, "GET")] {
        let request = node
            .request(Method::OPTIONS, &path)
            .header("origin", "https://app.example")
            .header("access-control-request-method", method)
            .header("access-control-request-headers", "range, content-type");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 204);
        assert_eq!(
            header(response.headers(), "access-control-allow-origin"),
            Some("*")
        );
        assert!(
            header(response.headers(), "access-control-allow-methods")
                .unwrap()
                .contains(method)
        );
        assert_eq!(
            header(response.headers(), "access-control-allow-headers"),
            Some("*")
        );
    }
}
