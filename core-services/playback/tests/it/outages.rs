//! What still works while a part is away, and what says that it does not.

use http::Method;
use mcsp_api::rest::Visibility;
use mcsp_api::{MediaSessionId, Residency, Role};
use mcsp_core_services_playback::{PlaybackConfig, PlaybackError};

use crate::stage::{Away, Stage};

async fn without(away: Away) -> Stage {
    Stage::with(away, PlaybackConfig::default()).await
}

#[tokio::test]
async fn without_the_content_service_nothing_is_guessed() {
    let stage = without(Away {
        content: true,
        ..Away::default()
    })
    .await;
    let viewer = stage.person(Role::Viewer);
    let path = "/api/v1/play/c_ng_00000000000000000000000000";
    // Often enough for the circuit breaker to open: the answer stays the same.
    for _ in 0..20 {
        let (status, problem) = stage
            .ask(Method::GET, path, "los1", None, Some(&viewer))
            .await;
        assert_eq!(
            (status, problem["retry_after_s"].as_u64().is_some()),
            (503, true),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn without_the_session_store_it_plays_and_revokes() {
    let stage = without(Away {
        kv: true,
        ..Away::default()
    })
    .await;
    let owner = stage.person(Role::Creator);
    let id = stage
        .published(&owner, Visibility::Public, Residency::Global)
        .await;
    let play = stage.play(&id, "los1", &owner).await;

    // Whose it is cannot be known now.
    let path = format!("/api/v1/play/sessions/{}", play.media_session_id);
    assert_eq!(
        stage
            .ask(Method::DELETE, &path, "los1", None, Some(&owner))
            .await
            .0,
        503
    );
    let session: MediaSessionId = play.media_session_id.parse().unwrap();
    stage.service.revoke(&session, "test").await.unwrap();
    assert_eq!(stage.revoked().await.len(), 1);
}

#[tokio::test]
async fn without_the_event_log_it_plays_and_does_not_claim_to_have_revoked() {
    let stage = without(Away {
        log: true,
        ..Away::default()
    })
    .await;
    let owner = stage.person(Role::Creator);
    let id = stage
        .published(&owner, Visibility::Public, Residency::Global)
        .await;
    let play = stage.play(&id, "los1", &owner).await;

    let path = format!("/api/v1/play/sessions/{}", play.media_session_id);
    for _ in 0..2 {
        // The session is still there to be ended.
        let (status, problem) = stage
            .ask(Method::DELETE, &path, "los1", None, Some(&owner))
            .await;
        assert_eq!(
            (status, problem["retry_after_s"].as_u64().is_some()),
            (503, true),
            "{problem}"
        );
    }
    let session: MediaSessionId = play.media_session_id.parse().unwrap();
    let outcome = stage.service.revoke(&session, "test").await;
    assert!(
        matches!(outcome, Err(PlaybackError::Event(_))),
        "{outcome:?}"
    );
}
