//! Resuming, completing, cancelling.

use bytes::Bytes;
use http::StatusCode;
use mcsp_api::Role;
use mcsp_api::rest::{ContentStatus, UploadStatus};
use mcsp_core_services_upload::{UploadConfig, UploadEvents};
use mcsp_events::consumer::{Consumer, RetryPolicy};
use mcsp_events::outbox::OutboxRelay;
use mcsp_runtime::ShutdownTrigger;

use crate::stage::{Call, GLOBAL, MIB, Make, SESSIONS, Stage};

fn source_of(content_id: &str) -> String {
    format!("global/{content_id}/source/original")
}

#[tokio::test]
async fn an_interrupted_upload_resumes_and_completes_once() {
    let stage = Stage::lagos().await;
    let creator = stage.person(Role::Creator);
    let size = 8 * MIB + 5;
    let session = stage.open(&creator, size).await;

    // The first part arrives cut short, so it is still wanted.
    assert_eq!(
        stage
            .put(&session.parts[0], Bytes::from(vec![1; MIB]))
            .await,
        StatusCode::OK
    );
    assert_eq!(
        stage.put(&session.parts[1], Bytes::from(vec![2; 5])).await,
        StatusCode::OK
    );
    let state = stage.state(&creator, &session.upload_id).await;
    let received: Vec<bool> = state.parts.iter().map(|part| part.received).collect();
    assert_eq!(received, [false, true]);
    assert!(state.parts[0].url.is_some() && state.parts[1].url.is_none());

    let (status, problem) = stage.complete(&creator, &session.upload_id).await;
    assert_eq!(status, 409);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .ends_with("missing parts, 1"),
        "{problem}"
    );
    assert!(stage.told().await.is_empty());

    stage.put_all(&state).await;
    for _ in 0..3 {
        let (status, done) = stage.complete(&creator, &session.upload_id).await;
        assert_eq!(
            (status, done["status"].as_str()),
            (200, Some("PENDING_TRIGGER"))
        );
        assert!(
            done["parts"]
                .as_array()
                .unwrap()
                .iter()
                .all(|part| part["received"] == true)
        );
    }
    let told = stage.told().await;
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].size_bytes, told[0].content_id.as_str()),
        (size as u64, session.content_id.as_str())
    );
    assert_eq!(
        stage.stored(GLOBAL, &source_of(&session.content_id)).await,
        Some(size as u64)
    );
    // An old URL changes nothing any more.
    assert_ne!(
        stage
            .put(&session.parts[0], Bytes::from(vec![9; 8 * MIB]))
            .await,
        StatusCode::OK
    );
}

#[tokio::test]
async fn many_completions_at_once_start_the_pipeline_once() {
    let stage = Stage::lagos().await;
    let creator = stage.person(Role::Creator);
    let session = stage.open(&creator, 10).await;
    stage.put_all(&session).await;
    let all =
        futures::future::join_all((0..8).map(|_| stage.complete(&creator, &session.upload_id)))
            .await;
    assert!(all.iter().all(|(status, _)| *status == 200), "{all:?}");
    assert_eq!(stage.told().await.len(), 1);
}

#[tokio::test]
async fn the_usual_answer_is_completed() {
    let config = UploadConfig {
        trigger_wait_ms: 5_000,
        ..UploadConfig::default()
    };
    let stage = Stage::make(Make {
        config,
        ..Make::region("ng-lagos")
    })
    .await;
    let (trigger, shutdown) = ShutdownTrigger::new();
    let relay = OutboxRelay::new(stage.db.clone(), stage.log.clone(), "upload");
    let relaying = tokio::spawn(relay.run(shutdown.clone()));
    let consumer = Consumer::new(
        stage.log.clone(),
        stage.db.clone(),
        "upload",
        "m1",
        RetryPolicy::default(),
    );
    let consuming = tokio::spawn(consumer.run(UploadEvents::new(stage.service.clone()), shutdown));

    let creator = stage.person(Role::Creator);
    let session = stage.open(&creator, 10).await;
    stage.put_all(&session).await;
    let (status, done) = stage.complete(&creator, &session.upload_id).await;
    assert_eq!((status, done["status"].as_str()), (200, Some("COMPLETED")));
    assert_eq!(stage.log_has().await.len(), 1);
    trigger.trigger();
    relaying.await.unwrap();
    consuming.await.unwrap().unwrap();
}

#[tokio::test]
async fn nothing_is_left_of_a_cancelled_upload() {
    let stage = Stage::lagos().await;
    let creator = stage.person(Role::Creator);
    let session = stage.open(&creator, 10).await;
    stage.put_all(&session).await;
    let path = format!("{SESSIONS}/{}", session.upload_id);

    assert_eq!(stage.ask(Call::delete(&path).by(&creator)).await.0, 204);
    assert_eq!(stage.ask(Call::delete(&path).by(&creator)).await.0, 204);
    assert_eq!(
        stage.state(&creator, &session.upload_id).await.status,
        UploadStatus::Cancelled
    );
    assert_eq!(stage.complete(&creator, &session.upload_id).await.0, 409);
    assert_ne!(
        stage.put(&session.parts[0], Bytes::from(vec![7; 10])).await,
        StatusCode::OK
    );
    assert_eq!(stage.objects_in(GLOBAL).await, 0);
    let draft = stage
        .content
        .record(&session.content_id.parse().unwrap())
        .await
        .unwrap();
    assert_eq!(draft.status(), ContentStatus::Deleted);
    assert!(stage.told().await.is_empty());
}

#[tokio::test]
async fn a_completed_upload_is_not_cancelled() {
    let stage = Stage::lagos().await;
    let creator = stage.person(Role::Creator);
    let session = stage.open(&creator, 10).await;
    stage.put_all(&session).await;
    assert_eq!(stage.complete(&creator, &session.upload_id).await.0, 200);
    let path = format!("{SESSIONS}/{}", session.upload_id);
    assert_eq!(stage.ask(Call::delete(&path).by(&creator)).await.0, 409);
    assert_eq!(
        stage.stored(GLOBAL, &source_of(&session.content_id)).await,
        Some(10)
    );
}
