//! The store that fails on purpose.

use bytes::Bytes;
use mcsp_origin_objects::contract::read_all;
use mcsp_origin_objects::{ObjectError, ObjectsOptions, OpenError, SharedObjects, open};

use crate::stage::{NG, secret};

async fn store(params: &str) -> (tempfile::TempDir, SharedObjects) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("buckets").join(NG)).unwrap();
    let uri = format!("faulty:file:{}?{params}", dir.path().display());
    let store = open(&uri, &options()).await.unwrap();
    (dir, store)
}

fn options() -> ObjectsOptions {
    ObjectsOptions::new(None, "ng-writer", secret())
}

async fn outcomes(seed: u64) -> Vec<bool> {
    let (_dir, store) = store(&format!("seed={seed}&error_rate=0.5")).await;
    let mut outcomes = Vec::new();
    for round in 0..40 {
        let put = store
            .put(
                NG,
                &format!("k{round}"),
                "text/plain",
                Bytes::from_static(b"x"),
            )
            .await;
        if let Err(error) = &put {
            assert!(error.is_retryable(), "{error}");
        }
        outcomes.push(put.is_ok());
    }
    outcomes
}

#[tokio::test]
async fn a_seed_decides_which_calls_fail() {
    let first = outcomes(7).await;
    assert_eq!(first, outcomes(7).await);
    assert_ne!(first, outcomes(8).await);
    let failed = first.iter().filter(|ok| !**ok).count();
    assert!((8..=32).contains(&failed), "{failed} of 40 failed");
}

#[tokio::test]
async fn some_failures_come_after_the_effect() {
    let (dir, store) = store("seed=1&error_rate=1").await;
    for round in 0..20 {
        let put = store
            .put(
                NG,
                &format!("k{round}"),
                "text/plain",
                Bytes::from_static(b"x"),
            )
            .await;
        assert!(put.is_err());
    }
    let stored = std::fs::read_dir(dir.path().join("buckets").join(NG))
        .unwrap()
        .count();
    assert!((1..20).contains(&stored), "{stored} of 20 took effect");
}

#[tokio::test]
async fn a_torn_read_ends_in_an_error_with_right_bytes_before_it() {
    let (_dir, store) = store("seed=3&torn_rate=1").await;
    let body = Bytes::from(vec![b'x'; 10_000]);
    store.put(NG, "k", "text/plain", body).await.unwrap();
    for _ in 0..10 {
        let read = read_all(store.get(NG, "k", None).await.unwrap()).await;
        assert!(matches!(read, Err(ObjectError::Unavailable(_))));
    }
}

#[tokio::test]
async fn uris_that_name_nothing_are_refused_by_name() {
    for (uri, expected) in [
        ("faulty:file:/tmp/x?error_rate=2", "error_rate"),
        ("faulty:file:/tmp/x?seed=many", "seed"),
        ("gcs://bucket", "no object engine named \"gcs\""),
        ("s3://127.0.0.1:1", "workload identity"),
        ("s3+https://127.0.0.1:1", "ca_file"),
        ("/tmp/x", "no scheme"),
    ] {
        let error: OpenError = open(uri, &options()).await.expect_err(uri);
        assert!(error.to_string().contains(expected), "{uri}: {error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let uri = format!("file:{}?colour=red", dir.path().display());
    let error = open(&uri, &options())
        .await
        .expect_err("an unknown parameter");
    assert!(error.to_string().contains("colour"), "{error}");
}
