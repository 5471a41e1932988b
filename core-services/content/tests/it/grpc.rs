//! The gRPC interface, called as other services call it: by a channel, through the caller table.

use mcsp_api::Role;
use mcsp_api::proto::content::content_client::ContentClient;
use mcsp_api::proto::content::{
    CreateDraftRequest, DiscardDraftRequest, GetForPlaybackRequest, Metadata, UpdateMetadataRequest,
};
use mcsp_api::rest::{ContentStatus, Visibility};
use mcsp_core_services_content::{Moderation, grpc};
use mcsp_identity::{SpiffeId, TRUST_DOMAIN_DEFAULT};
use mcsp_rpc::{RpcChannel, problem_from_status};
use tonic::Code;
use tonic::service::Routes;

use crate::stage::{Stage, packaged};

fn client(stage: &Stage, account: &str) -> ContentClient<RpcChannel> {
    let caller = SpiffeId::new(TRUST_DOMAIN_DEFAULT, "global-london", account).unwrap();
    ContentClient::new(RpcChannel::in_process(
        Routes::new(grpc(stage.service.clone())),
        caller,
    ))
}

fn draft(stage: &Stage) -> CreateDraftRequest {
    let record = stage.new_record(&stage.person(Role::Creator), Visibility::Public);
    CreateDraftRequest {
        content_id: record.content_id.to_string(),
        owner_id: record.owner_id.to_string(),
        organisation_id: String::new(),
        residency: "GLOBAL".into(),
        media_type: "VIDEO".into(),
        metadata: Some(Metadata {
            title: "A film".into(),
            visibility: "PUBLIC".into(),
            ..Metadata::default()
        }),
    }
}

#[tokio::test]
async fn a_draft_is_created_once_and_never_taken_over() {
    let stage = Stage::new(Moderation::Off).await;
    let mut client = client(&stage, "upload");
    let request = draft(&stage);
    client.create_draft(request.clone()).await.unwrap();
    client.create_draft(request.clone()).await.unwrap();

    let other_owner = CreateDraftRequest {
        owner_id: draft(&stage).owner_id,
        ..request.clone()
    };
    assert_eq!(
        client.create_draft(other_owner).await.unwrap_err().code(),
        Code::Aborted
    );
    let moved = CreateDraftRequest {
        residency: "NG".into(),
        ..request.clone()
    };
    assert_eq!(
        client.create_draft(moved).await.unwrap_err().code(),
        Code::Aborted
    );

    let mut untitled = draft(&stage);
    untitled.metadata = Some(Metadata {
        visibility: "PUBLIC".into(),
        ..Metadata::default()
    });
    let status = client.create_draft(untitled).await.unwrap_err();
    assert_eq!(
        problem_from_status(&status).pointer.as_deref(),
        Some("/metadata/title")
    );
}

#[tokio::test]
async fn playback_reads_what_it_decides_by() {
    let stage = Stage::new(Moderation::Off).await;
    let request = draft(&stage);
    client(&stage, "upload")
        .create_draft(request.clone())
        .await
        .unwrap();
    let mut client = client(&stage, "playback");
    let id = request.content_id.parse().unwrap();
    stage.hear(&packaged(&id, &["v360"], true)).await.unwrap();

    let record = client
        .get_for_playback(GetForPlaybackRequest {
            content_id: request.content_id,
        })
        .await
        .unwrap();
    let record = record.into_inner();
    assert_eq!(
        (
            record.status.as_str(),
            record.visibility.as_str(),
            record.title.as_str(),
            record.duration_ms
        ),
        ("PUBLISHED", "PUBLIC", "A film", 30_000)
    );
    for unknown in ["c_gl_00000000000000000000000000", "x"] {
        let request = GetForPlaybackRequest {
            content_id: unknown.into(),
        };
        assert_eq!(
            client.get_for_playback(request).await.unwrap_err().code(),
            Code::NotFound
        );
    }
}

#[tokio::test]
async fn metadata_changes_until_publication_by_its_owner() {
    let stage = Stage::new(Moderation::Off).await;
    let mut client = client(&stage, "upload");
    let request = draft(&stage);
    client.create_draft(request.clone()).await.unwrap();
    let update = UpdateMetadataRequest {
        content_id: request.content_id.clone(),
        owner_id: request.owner_id.clone(),
        patch_json: r#"{"language":"yo"}"#.into(),
    };
    let answer = client
        .update_metadata(update.clone())
        .await
        .unwrap()
        .into_inner()
        .metadata_json;
    assert!(
        answer.contains("\"yo\"") && answer.contains("A film"),
        "{answer}"
    );

    let stranger = UpdateMetadataRequest {
        owner_id: draft(&stage).owner_id,
        ..update.clone()
    };
    assert_eq!(
        client.update_metadata(stranger).await.unwrap_err().code(),
        Code::NotFound
    );
    let wrong = UpdateMetadataRequest {
        patch_json: r#"{"language":"e"}"#.into(),
        ..update.clone()
    };
    let status = client.update_metadata(wrong).await.unwrap_err();
    assert_eq!(
        problem_from_status(&status).pointer.as_deref(),
        Some("/language")
    );

    stage
        .hear(&packaged(
            &request.content_id.parse().unwrap(),
            &["v360"],
            true,
        ))
        .await
        .unwrap();
    assert_eq!(
        client.update_metadata(update).await.unwrap_err().code(),
        Code::Aborted
    );
}

#[tokio::test]
async fn a_discarded_draft_is_gone_and_what_is_in_the_pipeline_is_not_discarded() {
    let stage = Stage::new(Moderation::Off).await;
    let mut client = client(&stage, "upload");
    let request = draft(&stage);
    client.create_draft(request.clone()).await.unwrap();
    let discard = DiscardDraftRequest {
        content_id: request.content_id.clone(),
        owner_id: request.owner_id.clone(),
    };
    client.discard_draft(discard.clone()).await.unwrap();
    client.discard_draft(discard).await.unwrap();
    let record = stage
        .service
        .record(&request.content_id.parse().unwrap())
        .await
        .unwrap();
    assert_eq!(
        (record.status(), record.metadata.title.as_str()),
        (ContentStatus::Deleted, "")
    );

    let never_was = draft(&stage);
    let discard = DiscardDraftRequest {
        content_id: never_was.content_id,
        owner_id: never_was.owner_id,
    };
    client.discard_draft(discard).await.unwrap();

    let busy = draft(&stage);
    client.create_draft(busy.clone()).await.unwrap();
    stage
        .hear(&packaged(
            &busy.content_id.parse().unwrap(),
            &["v360"],
            true,
        ))
        .await
        .unwrap();
    let discard = DiscardDraftRequest {
        content_id: busy.content_id,
        owner_id: busy.owner_id,
    };
    assert_eq!(
        client.discard_draft(discard).await.unwrap_err().code(),
        Code::Aborted
    );
}

#[tokio::test]
async fn callers_that_the_table_does_not_name_are_refused() {
    let stage = Stage::new(Moderation::Off).await;
    let request = GetForPlaybackRequest {
        content_id: draft(&stage).content_id,
    };
    let status = client(&stage, "media")
        .get_for_playback(request)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}
