//! The reconciler: what a lost call left, it finishes or takes away, however often it runs.

use std::time::Duration;

use mcsp_api::Role;
use mcsp_api::rest::{ContentStatus, UploadStatus};

use crate::stage::{GLOBAL, Stage, secret};

#[tokio::test]
async fn a_whole_file_whose_completion_was_never_asked_for_is_finished_once() {
    let stage = Stage::lagos().await;
    let creator = stage.person(Role::Creator);
    let whole = stage.open(&creator, 10).await;
    let partial = stage.open(&creator, 10).await;
    stage.put_all(&whole).await;

    let report = stage.service.reconcile_once().await.unwrap();
    assert_eq!((report.examined, report.finished, report.failed), (2, 1, 0));
    let report = stage.service.reconcile_once().await.unwrap();
    assert_eq!((report.examined, report.finished), (1, 0));
    assert_eq!(stage.told().await.len(), 1);
    assert_eq!(
        stage.state(&creator, &whole.upload_id).await.status,
        UploadStatus::PendingTrigger
    );
    assert_eq!(
        stage.state(&creator, &partial.upload_id).await.status,
        UploadStatus::Open
    );
    assert_eq!(stage.complete(&creator, &whole.upload_id).await.0, 200);
    assert_eq!(stage.told().await.len(), 1);
}

/// As after a kill between the object's completion and the session's.
async fn complete_behind_its_back(stage: &Stage, content_id: &str) {
    let client = stage.endpoint.in_process_client("global-writer", &secret());
    let key = format!("global/{content_id}/source/original");
    let mut conn = stage.db.acquire().await.unwrap();
    let row: (String,) =
        sqlx::query_as("SELECT multipart_id FROM upload_session WHERE content_id = $1")
            .bind(content_id)
            .fetch_one(conn.conn())
            .await
            .unwrap();
    let parts = client.list_parts(GLOBAL, &key, &row.0).await.unwrap();
    client
        .complete_multipart(GLOBAL, &key, &row.0, &parts)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_object_that_is_whole_finishes_its_session_whoever_looks_first() {
    let stage = Stage::lagos().await;
    let creator = stage.person(Role::Creator);
    for who in ["reconciler", "get", "complete"] {
        let session = stage.open(&creator, 10).await;
        stage.put_all(&session).await;
        complete_behind_its_back(&stage, &session.content_id).await;
        let before = stage.told().await.len();
        match who {
            "reconciler" => assert_eq!(stage.service.reconcile_once().await.unwrap().finished, 1),
            "get" => {}
            _ => assert_eq!(stage.complete(&creator, &session.upload_id).await.0, 200),
        }
        assert_eq!(
            stage.state(&creator, &session.upload_id).await.status,
            UploadStatus::PendingTrigger,
            "{who}"
        );
        assert_eq!(stage.told().await.len(), before + 1, "{who}");
    }
}

#[tokio::test]
async fn what_ran_out_of_time_is_taken_away() {
    let stage = Stage::lagos().await;
    let creator = stage.person(Role::Creator);
    let session = stage.open(&creator, 8 * crate::stage::MIB + 1).await;
    let state = stage.state(&creator, &session.upload_id).await;
    assert_eq!(
        stage
            .put(&state.parts[1], bytes::Bytes::from_static(b"x"))
            .await,
        200
    );
    stage.clock.advance(Duration::from_secs(7 * 86_400 - 1));
    assert_eq!(stage.service.reconcile_once().await.unwrap().expired, 0);

    stage.clock.advance(Duration::from_secs(2));
    let report = stage.service.reconcile_once().await.unwrap();
    assert_eq!(
        (report.expired, report.cleaned, report.forgotten),
        (1, 1, 1)
    );
    let state = stage.state(&creator, &session.upload_id).await;
    assert_eq!(state.status, UploadStatus::Expired);
    assert!(
        state
            .parts
            .iter()
            .all(|part| part.url.is_none() && !part.received)
    );
    assert_ne!(
        stage
            .put(&session.parts[0], bytes::Bytes::from_static(b"x"))
            .await,
        200
    );
    assert_eq!(stage.complete(&creator, &session.upload_id).await.0, 409);
    let draft = stage
        .content
        .record(&session.content_id.parse().unwrap())
        .await
        .unwrap();
    assert_eq!(draft.status(), ContentStatus::Deleted);
    let again = stage.service.reconcile_once().await.unwrap();
    assert_eq!((again.examined, again.expired, again.cleaned), (0, 0, 0));
    assert!(stage.told().await.is_empty());
}
