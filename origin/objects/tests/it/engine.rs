//! What only the folder's engine promises.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use bytes::Bytes;
use mcsp_origin_objects::contract::read_all;
use mcsp_origin_objects::{FileEngine, FileEngineOptions, ObjectError, ObjectStore};
use mcsp_runtime::{SystemClock, SystemEntropy};

use crate::stage::{NG, Stage, open_engine};

#[tokio::test]
async fn one_process_owns_the_folder() {
    let stage = Stage::new().await;
    let second = FileEngine::open(
        stage.dir.path(),
        SystemClock::shared(),
        SystemEntropy::shared(),
    )
    .await;
    assert!(
        matches!(second, Err(ObjectError::Conflict(_))),
        "{second:?}"
    );
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_still_reads_and_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open_engine(&dir).await;
    engine
        .put(NG, "k", "text/plain", Bytes::from_static(b"x"))
        .await
        .unwrap();
    let upload_id = engine
        .create_multipart(NG, "m", "text/plain")
        .await
        .unwrap();
    drop(engine);
    let options = FileEngineOptions {
        free_bytes_min: u64::MAX,
    };
    let engine = FileEngine::open_with(
        dir.path(),
        options,
        SystemClock::shared(),
        SystemEntropy::shared(),
    )
    .await
    .unwrap();
    let full = |result: Result<(), ObjectError>| {
        let error = result.expect_err("the disk is full");
        assert!(
            error.is_retryable() && error.to_string().contains("full"),
            "{error}"
        );
    };
    full(
        engine
            .put(NG, "new", "text/plain", Bytes::new())
            .await
            .map(drop),
    );
    full(
        engine
            .put_part(NG, "m", &upload_id, 1, Bytes::new())
            .await
            .map(drop),
    );
    full(
        engine
            .create_multipart(NG, "m", "text/plain")
            .await
            .map(drop),
    );
    assert_eq!(
        read_all(engine.get(NG, "k", None).await.unwrap())
            .await
            .unwrap(),
        "x"
    );
    engine.delete(NG, "k").await.unwrap();
}

#[tokio::test]
async fn damaged_objects_are_refused_and_may_be_replaced() {
    let stage = Stage::new().await;
    let engine = &stage.engine;
    engine
        .put(NG, "a/k", "text/plain", Bytes::from_static(b"whole bytes"))
        .await
        .unwrap();
    let path = stage.dir.path().join("buckets/mcsp-ng/a/k=");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[3..]).unwrap();
    let read = engine.get(NG, "a/k", None).await.map(drop);
    assert!(matches!(read, Err(ObjectError::Unavailable(_))), "{read:?}");
    engine
        .put(NG, "a/k", "text/plain", Bytes::from_static(b"new"))
        .await
        .unwrap();
    assert_eq!(
        read_all(engine.get(NG, "a/k", None).await.unwrap())
            .await
            .unwrap(),
        "new"
    );
    // A file that was moved to another key's place does not pass for that key's object.
    std::fs::copy(&path, stage.dir.path().join("buckets/mcsp-ng/a/other=")).unwrap();
    assert!(engine.head(NG, "a/other").await.is_err());
}

#[tokio::test]
async fn a_part_that_vanishes_breaks_the_body_off() {
    let stage = Stage::new().await;
    let engine = &stage.engine;
    let upload_id = engine
        .create_multipart(NG, "m", "text/plain")
        .await
        .unwrap();
    let mut parts = Vec::new();
    for number in 1..=2 {
        let body = Bytes::from(vec![b'x'; 1000]);
        parts.push(
            engine
                .put_part(NG, "m", &upload_id, number, body)
                .await
                .unwrap(),
        );
    }
    engine
        .complete_multipart(NG, "m", &upload_id, &parts)
        .await
        .unwrap();
    std::fs::remove_file(
        stage
            .dir
            .path()
            .join(format!("multipart/{upload_id}/00002")),
    )
    .unwrap();
    assert!(
        read_all(engine.get(NG, "m", None).await.unwrap())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn recovery_removes_what_is_orphaned_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open_engine(&dir).await;
    let body = Bytes::from_static(b"bytes");
    let uploads = dir.path().join("multipart");

    // Open, with one part.
    let open = engine
        .create_multipart(NG, "open", "text/plain")
        .await
        .unwrap();
    engine
        .put_part(NG, "open", &open, 1, body.clone())
        .await
        .unwrap();
    // The crash came after the object was published and before it was marked.
    let unmarked = engine
        .create_multipart(NG, "unmarked", "text/plain")
        .await
        .unwrap();
    let part = engine
        .put_part(NG, "unmarked", &unmarked, 1, body.clone())
        .await
        .unwrap();
    let parts = [part];
    let meta = engine
        .complete_multipart(NG, "unmarked", &unmarked, &parts)
        .await
        .unwrap();
    std::fs::remove_file(uploads.join(&unmarked).join("completed")).unwrap();
    // The crash came after the object was deleted and before its parts were.
    let orphan = engine
        .create_multipart(NG, "orphan", "text/plain")
        .await
        .unwrap();
    let part = engine
        .put_part(NG, "orphan", &orphan, 1, body.clone())
        .await
        .unwrap();
    engine
        .complete_multipart(NG, "orphan", &orphan, &[part])
        .await
        .unwrap();
    std::fs::remove_file(dir.path().join("buckets/mcsp-ng/orphan=")).unwrap();
    // The crash came in the middle of a write.
    std::fs::write(dir.path().join("tmp/half"), b"half").unwrap();
    drop(engine);

    let engine = open_engine(&dir).await;
    assert!(!uploads.join(&orphan).exists());
    assert_eq!(
        std::fs::read_dir(dir.path().join("tmp")).unwrap().count(),
        0
    );
    assert_eq!(engine.list_parts(NG, "open", &open).await.unwrap().len(), 1);
    assert_eq!(
        read_all(engine.get(NG, "unmarked", None).await.unwrap())
            .await
            .unwrap(),
        body
    );
    let again = engine
        .complete_multipart(NG, "unmarked", &unmarked, &parts)
        .await
        .unwrap();
    assert_eq!(again, meta);
    let late = engine.put_part(NG, "unmarked", &unmarked, 2, body).await;
    assert!(matches!(late, Err(ObjectError::NotFound(_))), "{late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_and_removers_of_one_folder_do_not_trip_over_each_other() {
    let stage = Stage::new().await;
    let engine = Arc::new(stage.engine.clone());
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let engine = Arc::clone(&engine);
        tasks.spawn(async move {
            for round in 0..15 {
                let key = format!("busy/folder/{}", task % 3);
                engine
                    .put(NG, &key, "text/plain", Bytes::from(vec![b'x'; round]))
                    .await?;
                engine.delete(NG, &key).await?;
            }
            Ok::<_, ObjectError>(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    assert!(engine.list(NG, "", None).await.unwrap().objects.is_empty());
    assert!(!stage.dir.path().join("buckets/mcsp-ng/busy").exists());
}

#[tokio::test]
async fn nobody_else_on_the_machine_may_look_into_the_folder() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("objects");
    let _engine = FileEngine::open(&folder, SystemClock::shared(), SystemEntropy::shared())
        .await
        .unwrap();
    let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
