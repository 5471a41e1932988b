//! Ending media sessions before their time.

use std::time::Duration;

use http::Method;
use mcsp_api::proto::playback::RevokeMediaSessionRequest;
use mcsp_api::proto::playback::playback_client::PlaybackClient;
use mcsp_api::rest::Visibility;
use mcsp_api::{Residency, Role};
use mcsp_core_services_playback::grpc;
use mcsp_identity::{SpiffeId, TRUST_DOMAIN_DEFAULT};
use mcsp_rpc::RpcChannel;
use mcsp_runtime::Clock;
use tonic::Code;
use tonic::service::Routes;

use crate::stage::Stage;

fn client(stage: &Stage, account: &str) -> PlaybackClient<RpcChannel> {
    let caller = SpiffeId::new(TRUST_DOMAIN_DEFAULT, "ng-lagos", account).unwrap();
    PlaybackClient::new(RpcChannel::in_process(
        Routes::new(grpc(stage.service.clone())),
        caller,
    ))
}

fn revoke(id: &str) -> RevokeMediaSessionRequest {
    RevokeMediaSessionRequest {
        media_session_id: id.into(),
        reason: "test".into(),
    }
}

#[tokio::test]
async fn a_viewer_ends_his_own_session() {
    let stage = Stage::new().await;
    let owner = stage.person(Role::Creator);
    let viewer = stage.person(Role::Viewer);
    let id = stage
        .published(&owner, Visibility::Public, Residency::Global)
        .await;
    let play = stage.play(&id, "los1", &viewer).await;
    let path = format!("/api/v1/play/sessions/{}", play.media_session_id);

    assert_eq!(
        stage
            .ask(Method::DELETE, &path, "los1", None, Some(&owner))
            .await
            .0,
        404
    );
    assert_eq!(
        stage
            .ask(Method::DELETE, &path, "los1", None, Some(&viewer))
            .await
            .0,
        204
    );
    assert_eq!(
        stage
            .ask(Method::DELETE, &path, "los1", None, Some(&viewer))
            .await
            .0,
        404
    );
    let revoked = stage.revoked().await;
    assert_eq!(revoked.len(), 1);
    assert_eq!(revoked[0].media_session_id.as_str(), play.media_session_id);
    // As long as renewals of its URL could have gone on, not only its first URL.
    let session_end_s = play.expires_s - 3_600 + 43_200;
    assert_eq!(revoked[0].expires_s, session_end_s);
}

#[tokio::test]
async fn a_session_that_expired_needs_no_end() {
    let stage = Stage::new().await;
    let owner = stage.person(Role::Creator);
    let id = stage
        .published(&owner, Visibility::Public, Residency::Global)
        .await;
    let play = stage.play(&id, "los1", &owner).await;
    stage.clock.advance(Duration::from_secs(43_201));
    let path = format!("/api/v1/play/sessions/{}", play.media_session_id);
    assert_eq!(
        stage
            .ask(Method::DELETE, &path, "los1", None, Some(&owner))
            .await
            .0,
        404
    );
    assert!(stage.revoked().await.is_empty());
}

#[tokio::test]
async fn other_services_end_any_session_known_or_not() {
    let stage = Stage::new().await;
    let owner = stage.person(Role::Creator);
    let id = stage
        .published(&owner, Visibility::Public, Residency::Global)
        .await;
    let play = stage.play(&id, "los1", &owner).await;
    let mut client = client(&stage, "origin");

    stage.clock.advance(Duration::from_secs(600));
    client
        .revoke_media_session(revoke(&play.media_session_id))
        .await
        .unwrap();
    client
        .revoke_media_session(revoke(&play.media_session_id))
        .await
        .unwrap();
    client
        .revoke_media_session(revoke("ms_ng_00000000000000000000000000"))
        .await
        .unwrap();
    let ends: Vec<(bool, i64)> = stage
        .revoked()
        .await
        .iter()
        .map(|event| {
            (
                event.media_session_id.as_str() == play.media_session_id,
                event.expires_s,
            )
        })
        .collect();
    // Without a record, the revocation lasts as long as any session may.
    let latest_s = stage.clock.now_s() + 43_200;
    let session_end_s = play.expires_s - 3_600 + 43_200;
    assert_eq!(ends.len(), 3);
    assert!(ends.contains(&(true, session_end_s)), "{ends:?}");
    assert!(
        ends.contains(&(true, latest_s)) && ends.contains(&(false, latest_s)),
        "{ends:?}"
    );

    assert_eq!(
        client
            .revoke_media_session(revoke("nonsense"))
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn callers_that_the_table_does_not_name_are_refused() {
    let stage = Stage::new().await;
    let status = client(&stage, "media")
        .revoke_media_session(revoke("ms_ng_00000000000000000000000000"))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(stage.revoked().await.is_empty());
}
