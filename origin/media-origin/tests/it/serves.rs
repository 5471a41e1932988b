//! What edges get.

use http::{Method, StatusCode};

use crate::stage::{GLOBAL_ITEM, NG_ITEM, Stage, ask, body, bytes_of, header, origin};

fn url(item: &str, rest: &str) -> String {
    format!("/media/{item}/{rest}")
}

#[tokio::test]
async fn a_segment_comes_whole_with_all_that_a_cache_needs() {
    let stage = Stage::new().await;
    let response = stage.get(&url(GLOBAL_ITEM, "v360/1.m4s"), &[]).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "content-length"), "1000");
    assert_eq!(header(&response, "content-type"), "video/iso.segment");
    assert_eq!(
        header(&response, "cache-control"),
        "public, max-age=86400, immutable"
    );
    assert_eq!(
        header(&response, "surrogate-key"),
        "c_gl_01k9x3m5y8q2v7r4t6w1z0a3bc"
    );
    assert_eq!(header(&response, "accept-ranges"), "bytes");
    assert!(header(&response, "etag").starts_with('"'));
    assert!(!header(&response, "traceparent").is_empty());
    assert_eq!(bytes_of(response).await, body());
}

#[tokio::test]
async fn each_kind_of_object_has_its_type_and_its_life() {
    let stage = Stage::new().await;
    for (rest, content_type, cache_control) in [
        (
            "manifest.m3u8",
            "application/vnd.apple.mpegurl",
            "public, max-age=30",
        ),
        ("manifest.mpd", "application/dash+xml", "public, max-age=30"),
        ("art/1.jpg", "image/jpeg", "public, max-age=604800"),
        (
            "v360/data",
            "application/x-kept",
            "public, max-age=86400, immutable",
        ),
    ] {
        let response = stage.get(&url(GLOBAL_ITEM, rest), &[]).await;
        assert_eq!(header(&response, "content-type"), content_type, "{rest}");
        assert_eq!(header(&response, "cache-control"), cache_control, "{rest}");
    }
}

#[tokio::test]
async fn one_range_is_a_part_and_several_are_the_whole() {
    let stage = Stage::new().await;
    let url = url(GLOBAL_ITEM, "v360/1.m4s");
    for (value, expected, content_range) in [
        ("bytes=0-9", 0..10, "bytes 0-9/1000"),
        ("bytes=990-", 990..1000, "bytes 990-999/1000"),
        ("bytes=-5", 995..1000, "bytes 995-999/1000"),
        ("bytes=500-5000", 500..1000, "bytes 500-999/1000"),
    ] {
        let response = stage.get(&url, &[("range", value)]).await;
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{value}");
        assert_eq!(header(&response, "content-range"), content_range);
        assert_eq!(
            header(&response, "content-length"),
            expected.len().to_string()
        );
        assert_eq!(bytes_of(response).await, body().slice(expected));
    }
    for value in ["bytes=0-1,4-5", "bytes=5-1", "lines=0-1"] {
        let response = stage.get(&url, &[("range", value)]).await;
        assert_eq!(response.status(), StatusCode::OK, "{value}");
        assert_eq!(bytes_of(response).await, body());
    }
    let response = stage.get(&url, &[("range", "bytes=1000-")]).await;
    assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(header(&response, "content-range"), "bytes */1000");
}

#[tokio::test]
async fn what_the_caller_holds_is_not_sent_again() {
    let stage = Stage::new().await;
    let url = url(GLOBAL_ITEM, "v360/1.m4s");
    let etag = header(&stage.get(&url, &[]).await, "etag").to_owned();
    let held = [("if-none-match", etag.as_str())];
    for method in [Method::GET, Method::HEAD] {
        let response = ask(&stage.origin, method, &url, "los1", &held).await;
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(header(&response, "etag"), etag);
        assert_eq!(
            header(&response, "cache-control"),
            "public, max-age=86400, immutable"
        );
        assert!(bytes_of(response).await.is_empty());
    }
    let response = stage.get(&url, &[("if-none-match", "\"old\"")]).await;
    assert_eq!(response.status(), StatusCode::OK);
    let stale = [("range", "bytes=0-9"), ("if-range", "\"old\"")];
    assert_eq!(stage.get(&url, &stale).await.status(), StatusCode::OK);
    let fresh = [("range", "bytes=0-9"), ("if-range", etag.as_str())];
    assert_eq!(
        stage.get(&url, &fresh).await.status(),
        StatusCode::PARTIAL_CONTENT
    );
}

#[tokio::test]
async fn head_says_what_get_would_without_a_byte() {
    let stage = Stage::new().await;
    let url = url(GLOBAL_ITEM, "manifest.mpd");
    let got = stage.get(&url, &[]).await;
    let response = ask(&stage.origin, Method::HEAD, &url, "los1", &[]).await;
    for name in [
        "content-length",
        "content-type",
        "cache-control",
        "etag",
        "surrogate-key",
    ] {
        assert_eq!(header(&response, name), header(&got, name), "{name}");
    }
    assert!(bytes_of(response).await.is_empty());
}

#[tokio::test]
async fn private_and_malformed_names_do_not_exist() {
    let stage = Stage::new().await;
    for path in [
        url(GLOBAL_ITEM, "source/original"),
        url(GLOBAL_ITEM, "work/mezzanine.mp4"),
        url(GLOBAL_ITEM, "v360/../source/original"),
        url(GLOBAL_ITEM, "v360/%2e%2e/source/original"),
        url(GLOBAL_ITEM, "%73ource/original"),
        url(GLOBAL_ITEM, "v360//1.m4s"),
        url(GLOBAL_ITEM, "v360/2.m4s"),
        "/media/global/c_gl_none/manifest.mpd".to_owned(),
        "/media/elsewhere/c_gl_01k9x3m5y8q2v7r4t6w1z0a3bc/manifest.mpd".to_owned(),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let response = ask(&stage.origin, method, &path, "los1", &[]).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
            // For a moment: many who ask for it are one request.
            let life = header(&response, "cache-control");
            assert_eq!(life, "public, max-age=1", "{path}");
            let body = bytes_of(response).await;
            let text = String::from_utf8(body.to_vec()).unwrap();
            assert!(!text.contains("trace_id"), "it is everybody's: {text}");
        }
    }
}

#[tokio::test]
async fn ng_items_go_to_nigerian_pops_alone() {
    let stage = Stage::new().await;
    let ng = url(NG_ITEM, "v360/1.m4s");
    assert_eq!(bytes_of(stage.get(&ng, &[]).await).await, body());
    for pop in ["lhr1", "unknown", ""] {
        for method in [Method::GET, Method::HEAD] {
            let response = ask(&stage.origin, method, &ng, pop, &[]).await;
            assert_eq!(
                response.status(),
                StatusCode::MISDIRECTED_REQUEST,
                "{pop:?}"
            );
            let bytes = bytes_of(response).await;
            assert!(
                !bytes.windows(8).any(|window| window == &body()[..8]),
                "{pop:?}"
            );
        }
        let global = ask(
            &stage.origin,
            Method::GET,
            &url(GLOBAL_ITEM, "v360/1.m4s"),
            pop,
            &[],
        )
        .await;
        assert_eq!(global.status(), StatusCode::OK, "{pop:?}");
    }
    let elsewhere = origin(stage.origin.objects_global.clone(), None);
    let response = ask(&elsewhere, Method::GET, &ng, "los1", &[]).await;
    assert_eq!(
        response.status(),
        StatusCode::MISDIRECTED_REQUEST,
        "a region without NG items"
    );
}

#[tokio::test]
async fn a_service_that_calls_itself_los1_is_no_pop() {
    let stage = Stage::new().await;
    let impostor = mcsp_identity::Peer(
        mcsp_identity::SpiffeId::new("mcsp.internal", "ng-lagos", "los1").unwrap(),
    );
    let request = http::Request::get(url(NG_ITEM, "v360/1.m4s")).extension(impostor);
    let request = request.body(axum::body::Body::empty()).unwrap();
    let router = mcsp_origin_media_origin::router(stage.origin.clone());
    let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
    assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn other_methods_are_told_so() {
    let stage = Stage::new().await;
    for method in [Method::PUT, Method::POST, Method::DELETE] {
        let response = ask(
            &stage.origin,
            method,
            &url(GLOBAL_ITEM, "v360/1.m4s"),
            "los1",
            &[],
        )
        .await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
