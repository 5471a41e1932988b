//! Policies hold in the endpoint, whatever the application's code does.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Method, StatusCode};
use mcsp_origin_objects::{ObjectError, ObjectsOptions, SharedObjects, open};
use mcsp_runtime::{Clock, ManualClock, SystemClock};

use crate::stage::{GLOBAL, NG, PUBLIC_BASE, Stage, body_text, secret};

fn is_denied<T>(result: Result<T, ObjectError>) -> bool {
    matches!(result, Err(ObjectError::Denied(_)))
}

/// Everything that changes or shows something, tried with one account in one bucket.
async fn all_denied(store: &SharedObjects, bucket: &str) {
    let id = "0123456789abcdef0123456789abcdef";
    assert!(is_denied(
        store
            .put(bucket, "k", "text/plain", Bytes::from_static(b"x"))
            .await
    ));
    assert!(is_denied(store.get(bucket, "there", None).await));
    assert!(is_denied(store.head(bucket, "there").await));
    assert!(is_denied(store.list(bucket, "", None).await));
    assert!(is_denied(store.delete(bucket, "there").await));
    assert!(is_denied(
        store.create_multipart(bucket, "k", "text/plain").await
    ));
    assert!(is_denied(store.list_parts(bucket, "k", id).await));
    assert!(is_denied(
        store.complete_multipart(bucket, "k", id, &[]).await
    ));
    assert!(is_denied(store.abort_multipart(bucket, "k", id).await));
}

#[tokio::test]
async fn writers_of_one_residency_reach_nothing_of_the_other() {
    let stage = Stage::new().await;
    for (access_key, own, foreign) in [("ng-writer", NG, GLOBAL), ("global-writer", GLOBAL, NG)] {
        let store = stage.client(access_key);
        store
            .put(own, "there", "text/plain", Bytes::from_static(b"x"))
            .await
            .unwrap();
        all_denied(&store, foreign).await;
        store.head(own, "there").await.unwrap();
    }
}

#[tokio::test]
async fn a_reader_reads_and_cannot_write() {
    let stage = Stage::new().await;
    let writer = stage.client("ng-writer");
    writer
        .put(NG, "there", "text/plain", Bytes::from_static(b"x"))
        .await
        .unwrap();
    let reader = stage.client("ng-reader");
    reader.head(NG, "there").await.unwrap();
    reader.get(NG, "there", None).await.unwrap();
    assert_eq!(reader.list(NG, "", None).await.unwrap().objects.len(), 1);
    assert!(is_denied(
        reader.put(NG, "k", "text/plain", Bytes::new()).await
    ));
    assert!(is_denied(reader.delete(NG, "there").await));
    assert!(is_denied(
        reader.create_multipart(NG, "k", "text/plain").await
    ));
    all_denied(&reader, GLOBAL).await;
}

#[tokio::test]
async fn a_stranger_and_a_wrong_secret_are_refused() {
    let stage = Stage::new().await;
    all_denied(&stage.client("nobody"), NG).await;
    let impostor = stage.endpoint.in_process_client(
        "ng-writer",
        &mcsp_origin_objects::Secret::new("not the secret at all"),
    );
    all_denied(&impostor, NG).await;
}

#[tokio::test]
async fn an_unsigned_request_is_refused() {
    let stage = Stage::new().await;
    stage
        .client("ng-writer")
        .put(NG, "there", "text/plain", Bytes::from_static(b"x"))
        .await
        .unwrap();
    for (method, path) in [
        (Method::GET, "/mcsp-ng/there"),
        (Method::HEAD, "/mcsp-ng/there"),
        (Method::GET, "/mcsp-ng/?list-type=2"),
        (Method::GET, "/"),
        (Method::PUT, "/mcsp-ng/there"),
        (Method::DELETE, "/mcsp-ng/there"),
        (Method::POST, "/mcsp-ng/there?uploads"),
        (Method::PUT, "/mcsp-other"),
    ] {
        let url = format!("{PUBLIC_BASE}{path}");
        let response = stage
            .send(
                method.clone(),
                &url,
                &[("content-length", "0")],
                Body::empty(),
            )
            .await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{method} {path}");
    }
}

#[tokio::test]
async fn operations_that_no_rule_names_are_denied_even_to_writers() {
    let stage = Stage::new().await;
    // Sign a URL of an allowed shape and ask for something else with it: bucket creation has no action, so a writer's
    // signature for it must not help. The signer here is rusty-s3 itself.
    let credentials = rusty_s3::Credentials::new("ng-writer", secret().expose());
    let bucket = rusty_s3::Bucket::new(
        PUBLIC_BASE.parse().unwrap(),
        rusty_s3::UrlStyle::Path,
        NG,
        "mcsp",
    )
    .unwrap();
    use rusty_s3::S3Action as _;
    let url = bucket
        .create_bucket(&credentials)
        .sign(Duration::from_secs(60));
    let response = stage
        .send(
            Method::PUT,
            url.as_str(),
            &[("content-length", "0")],
            Body::empty(),
        )
        .await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let url = bucket
        .delete_bucket(&credentials)
        .sign(Duration::from_secs(60));
    let response = stage
        .send(Method::DELETE, url.as_str(), &[], Body::empty())
        .await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_expired_presigned_url_is_refused_and_stores_nothing() {
    let stage = Stage::new().await;
    let store = stage.client("ng-writer");
    let upload_id = store.create_multipart(NG, "k", "video/mp4").await.unwrap();
    let clock = ManualClock::new(SystemClock.now_ms() - 120_000);
    let mut options = ObjectsOptions::new(None, "ng-writer", secret());
    options.clock = clock.clone();
    let signer = signer(&options).await;
    let presign = || {
        let life = Duration::from_secs(60);
        signer
            .presign_part(PUBLIC_BASE, NG, "k", &upload_id, 1, life)
            .unwrap()
    };

    let response = stage
        .put_presigned(&presign(), Bytes::from_static(b"late"))
        .await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(body_text(response).await.contains("expired"));
    assert!(
        store
            .list_parts(NG, "k", &upload_id)
            .await
            .unwrap()
            .is_empty()
    );

    clock.advance(Duration::from_secs(120));
    let response = stage
        .put_presigned(&presign(), Bytes::from_static(b"in time"))
        .await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        store.list_parts(NG, "k", &upload_id).await.unwrap().len(),
        1
    );
}

/// A client that only signs; it connects nowhere.
async fn signer(options: &ObjectsOptions) -> SharedObjects {
    let dir = tempfile::tempdir().unwrap();
    let ca = mcsp_identity::LocalCa::create_or_open(dir.path()).unwrap();
    let file = dir.path().join("roots.pem");
    std::fs::write(&file, ca.cert_pem()).unwrap();
    let uri = format!("s3+https://127.0.0.1:1?ca_file={}", file.display());
    open(&uri, options).await.unwrap()
}

#[tokio::test]
async fn an_altered_presigned_url_is_refused() {
    let stage = Stage::new().await;
    let store = stage.client("ng-writer");
    let upload_id = store
        .create_multipart(NG, "ng/c/part", "video/mp4")
        .await
        .unwrap();
    let other_id = store
        .create_multipart(NG, "ng/c/part", "video/mp4")
        .await
        .unwrap();
    let life = Duration::from_secs(60);
    let url = store
        .presign_part(PUBLIC_BASE, NG, "ng/c/part", &upload_id, 1, life)
        .unwrap();
    let signature_start = url.find("X-Amz-Signature=").unwrap() + "X-Amz-Signature=".len();
    let mut forged = url.clone();
    let flipped = if &url[signature_start..=signature_start] == "0" {
        "1"
    } else {
        "0"
    };
    forged.replace_range(signature_start..=signature_start, flipped);
    let altered = [
        forged,
        url.replace("partNumber=1", "partNumber=2"),
        url.replace(&upload_id, &other_id),
        url.replace("ng/c/part", "ng/c/other"),
        url.replace("mcsp-ng", "mcsp-global"),
        url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"),
        url.replace("los1.example", "lhr1.example"),
        url.replace("ng-writer", "ng-reader"),
        url[..signature_start - "&X-Amz-Signature=".len()].to_owned(),
    ];
    for altered in altered {
        assert_ne!(altered, url);
        let response = stage
            .put_presigned(&altered, Bytes::from_static(b"x"))
            .await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{altered}");
    }
    let response = stage.send(Method::GET, &url, &[], Body::empty()).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN, "another method");
    for id in [&upload_id, &other_id] {
        assert!(
            store
                .list_parts(NG, "ng/c/part", id)
                .await
                .unwrap()
                .is_empty()
        );
    }
    let response = stage.put_presigned(&url, Bytes::from_static(b"x")).await;
    assert_eq!(response.status(), StatusCode::OK, "unaltered");
}

#[tokio::test]
async fn a_readers_presigned_url_does_not_write() {
    let stage = Stage::new().await;
    let upload_id = stage
        .client("ng-writer")
        .create_multipart(NG, "k", "video/mp4")
        .await
        .unwrap();
    for access_key in ["ng-reader", "global-writer"] {
        let life = Duration::from_secs(60);
        let url = stage
            .client(access_key)
            .presign_part(PUBLIC_BASE, NG, "k", &upload_id, 1, life)
            .unwrap();
        let response = stage.put_presigned(&url, Bytes::from_static(b"x")).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{access_key}");
    }
}
