//! What the S3 API says over HTTP: limits, conditions, broken bodies.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures::stream;
use http::{Method, StatusCode};
use mcsp_origin_objects::{EndpointConfig, ObjectError};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};

use crate::stage::{NG, PUBLIC_BASE, Stage, body_text, secret};

const LIFE: Duration = Duration::from_secs(60);

fn bucket() -> Bucket {
    Bucket::new(PUBLIC_BASE.parse().unwrap(), UrlStyle::Path, NG, "mcsp").unwrap()
}

fn credentials() -> Credentials {
    Credentials::new("ng-writer", secret().expose())
}

#[tokio::test]
async fn a_part_over_the_limit_is_refused_before_its_body_is_read() {
    let config = EndpointConfig {
        part_bytes_max: 1000,
        ..EndpointConfig::default()
    };
    let stage = Stage::with_config(config).await;
    let store = stage.client("ng-writer");
    let upload_id = store.create_multipart(NG, "k", "video/mp4").await.unwrap();
    let url = store
        .presign_part(PUBLIC_BASE, NG, "k", &upload_id, 1, LIFE)
        .unwrap();
    // The body would never end.
    let endless = Body::from_stream(stream::repeat_with(|| {
        Ok::<_, std::io::Error>(Bytes::from_static(&[0; 100]))
    }));
    let response = stage
        .send(Method::PUT, &url, &[("content-length", "1001")], endless)
        .await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(body_text(response).await.contains("EntityTooLarge"));
    let response = stage
        .send(Method::PUT, &url, &[], Body::from("no length"))
        .await;
    assert_eq!(response.status(), StatusCode::LENGTH_REQUIRED);
    let response = stage.put_presigned(&url, Bytes::from(vec![0; 1000])).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_body_of_another_length_than_announced_stores_nothing() {
    let stage = Stage::new().await;
    let store = stage.client("ng-writer");
    let upload_id = store.create_multipart(NG, "k", "video/mp4").await.unwrap();
    let url = store
        .presign_part(PUBLIC_BASE, NG, "k", &upload_id, 1, LIFE)
        .unwrap();
    for announced in ["3", "5"] {
        let response = stage
            .send(
                Method::PUT,
                &url,
                &[("content-length", announced)],
                Body::from("four"),
            )
            .await;
        assert_eq!(
            response.status(),
            StatusCode::BAD_REQUEST,
            "announced {announced}"
        );
    }
    let broken = Body::from_stream(stream::iter([
        Ok(Bytes::from_static(b"fo")),
        Err(std::io::Error::other("the client went away")),
    ]));
    let response = stage
        .send(Method::PUT, &url, &[("content-length", "4")], broken)
        .await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(
        store
            .list_parts(NG, "k", &upload_id)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        std::fs::read_dir(stage.dir.path().join("tmp"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stands_still_is_given_up() {
    let stage = Stage::new().await;
    let store = stage.client("ng-writer");
    let upload_id = store.create_multipart(NG, "k", "video/mp4").await.unwrap();
    let url = store
        .presign_part(PUBLIC_BASE, NG, "k", &upload_id, 1, LIFE)
        .unwrap();
    let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let response = stage
        .send(Method::PUT, &url, &[("content-length", "4")], body)
        .await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(body_text(response).await.contains("stands still"));
}

#[tokio::test]
async fn bytes_that_changed_on_their_way_are_refused() {
    let stage = Stage::new().await;
    let credentials = credentials();
    let url = bucket().put_object(Some(&credentials), "k").sign(LIFE);
    // MD5 of "hello", then SHA-256 of it.
    let md5 = ("content-md5", "XUFAKrxLKna5cZ2REBfFkg==");
    let sha256 = (
        "x-amz-content-sha256",
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    );
    for digest in [md5, sha256] {
        let headers = [("content-length", "5"), digest];
        let response = stage
            .send(Method::PUT, url.as_str(), &headers, Body::from("hellO"))
            .await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{}", digest.0);
        let response = stage
            .send(Method::PUT, url.as_str(), &headers, Body::from("hello"))
            .await;
        assert_eq!(response.status(), StatusCode::OK, "{}", digest.0);
    }
}

#[tokio::test]
async fn conditions_on_reads_and_writes_hold() {
    let stage = Stage::new().await;
    let store = stage.client("ng-writer");
    let meta = store
        .put(NG, "k", "text/plain", Bytes::from_static(b"one"))
        .await
        .unwrap();
    let credentials = credentials();
    let get = bucket().get_object(Some(&credentials), "k").sign(LIFE);
    let put = bucket().put_object(Some(&credentials), "k").sign(LIFE);
    for (name, value, expected) in [
        (
            "if-none-match",
            meta.etag.as_str(),
            StatusCode::NOT_MODIFIED,
        ),
        ("if-none-match", "\"other\"", StatusCode::OK),
        ("if-match", meta.etag.as_str(), StatusCode::OK),
        ("if-match", "\"other\"", StatusCode::PRECONDITION_FAILED),
    ] {
        let response = stage
            .send(Method::GET, get.as_str(), &[(name, value)], Body::empty())
            .await;
        assert_eq!(response.status(), expected, "{name}: {value}");
    }
    for (name, value, expected) in [
        ("if-none-match", "*", StatusCode::PRECONDITION_FAILED),
        ("if-match", "\"other\"", StatusCode::PRECONDITION_FAILED),
        ("if-match", meta.etag.as_str(), StatusCode::OK),
    ] {
        let headers = [("content-length", "3"), (name, value)];
        let response = stage
            .send(Method::PUT, put.as_str(), &headers, Body::from("two"))
            .await;
        assert_eq!(response.status(), expected, "{name}: {value}");
    }
}

#[tokio::test]
async fn every_answer_carries_the_trace_on() {
    let stage = Stage::new().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let url = format!("{PUBLIC_BASE}/mcsp-ng/k");
    let response = stage
        .send(Method::GET, &url, &[("traceparent", trace)], Body::empty())
        .await;
    let answered = response
        .headers()
        .get("traceparent")
        .unwrap()
        .to_str()
        .unwrap();
    assert!(
        answered.starts_with("00-0af7651916cd43dd8448eb211c80319c-"),
        "{answered}"
    );
}

#[tokio::test]
async fn a_missing_bucket_is_told_from_a_missing_object() {
    let stage = Stage::new().await;
    let store = stage.client("ng-writer");
    std::fs::remove_dir(stage.dir.path().join("buckets/mcsp-ng")).unwrap();
    let missing = store.put(NG, "k", "text/plain", Bytes::new()).await;
    assert!(
        matches!(missing, Err(ObjectError::NotFound(_))),
        "{missing:?}"
    );
    let credentials = credentials();
    let url = bucket().get_object(Some(&credentials), "k").sign(LIFE);
    let response = stage
        .send(Method::GET, url.as_str(), &[], Body::empty())
        .await;
    assert!(body_text(response).await.contains("NoSuchBucket"));
}

#[tokio::test]
async fn a_read_signed_with_its_body_hash_needs_no_length() {
    let stage = Stage::new().await;
    let store = stage.client("ng-writer");
    store
        .put(NG, "k", "text/plain", Bytes::from_static(b"x"))
        .await
        .unwrap();
    // As other clients of S3 send it: the hash of an empty body, and no Content-Length.
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let (bucket, credentials) = (bucket(), credentials());
    let mut get = bucket.get_object(Some(&credentials), "k");
    get.headers_mut().insert("x-amz-content-sha256", EMPTY);
    let url = get.sign(LIFE).to_string();
    let headers = [("x-amz-content-sha256", EMPTY)];
    let response = stage.send(Method::GET, &url, &headers, Body::empty()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(body_text(response).await, "x");
}
