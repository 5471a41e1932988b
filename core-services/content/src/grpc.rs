//! `mcsp.content.v1`: what other services ask.

use std::str::FromStr;

use mcsp_api::metadata::FieldError;
use mcsp_api::proto::content as pb;
use mcsp_api::proto::content::content_server::{Content, ContentServer};
use mcsp_api::rest::UploadMetadata;
use mcsp_api::{ContentId, Residency, UserId};
use mcsp_rpc::status_from_problem;
use serde::de::DeserializeOwned;
use tonic::{Request, Response, Status};

use crate::error::ContentError;
use crate::lifecycle::Facts;
use crate::record::ContentRecord;
use crate::service::ContentService;

/// The service's gRPC interface.
#[must_use]
pub fn grpc(service: ContentService) -> ContentServer<ContentGrpc> {
    ContentServer::new(ContentGrpc { service })
}

/// [`ContentService`] as `mcsp.content.v1.Content`.
#[derive(Debug, Clone)]
pub struct ContentGrpc {
    service: ContentService,
}

#[tonic::async_trait]
impl Content for ContentGrpc {
    async fn create_draft(
        &self,
        request: Request<pb::CreateDraftRequest>,
    ) -> Result<Response<pb::CreateDraftResponse>, Status> {
        let record = draft_of(request.into_inner()).map_err(|error| status(error.into()))?;
        self.service.create_draft(record).await.map_err(status)?;
        Ok(Response::new(pb::CreateDraftResponse {}))
    }

    async fn update_metadata(
        &self,
        request: Request<pb::UpdateMetadataRequest>,
    ) -> Result<Response<pb::UpdateMetadataResponse>, Status> {
        let request = request.into_inner();
        let id = known_content(&request.content_id)?;
        let owner = known_user(&request.owner_id)?;
        let metadata = self
            .service
            .patch_before_publication(&id, &owner, &request.patch_json)
            .await
            .map_err(status)?;
        // A struct of texts always has a JSON form.
        let metadata_json = serde_json::to_string(&metadata).unwrap_or_default();
        Ok(Response::new(pb::UpdateMetadataResponse { metadata_json }))
    }

    async fn get_for_playback(
        &self,
        request: Request<pb::GetForPlaybackRequest>,
    ) -> Result<Response<pb::PlaybackRecord>, Status> {
        let id = known_content(&request.into_inner().content_id)?;
        let record = self.service.record(&id).await.map_err(status)?;
        Ok(Response::new(pb::PlaybackRecord {
            content_id: record.content_id.to_string(),
            owner_id: record.owner_id.to_string(),
            organisation_id: record
                .organisation_id
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            residency: record.residency.as_str().to_owned(),
            media_type: record.media_type.as_str().to_owned(),
            status: record.status().as_str().to_owned(),
            visibility: record.metadata.visibility.as_str().to_owned(),
            duration_ms: i64::try_from(record.duration_ms).unwrap_or(i64::MAX),
            title: record.metadata.title,
        }))
    }

    async fn discard_draft(
        &self,
        request: Request<pb::DiscardDraftRequest>,
    ) -> Result<Response<pb::DiscardDraftResponse>, Status> {
        let request = request.into_inner();
        let id = known_content(&request.content_id)?;
        let owner = known_user(&request.owner_id)?;
        self.service
            .discard_draft(&id, &owner)
            .await
            .map_err(status)?;
        Ok(Response::new(pb::DiscardDraftResponse {}))
    }
}

fn draft_of(request: pb::CreateDraftRequest) -> Result<ContentRecord, FieldError> {
    let metadata = request.metadata.unwrap_or_default();
    Ok(ContentRecord {
        content_id: parse("/content_id", &request.content_id)?,
        owner_id: parse("/owner_id", &request.owner_id)?,
        organisation_id: match request.organisation_id.as_str() {
            "" => None,
            id => Some(parse("/organisation_id", id)?),
        },
        residency: parse::<Residency>("/residency", &request.residency)?,
        media_type: parse_name("/media_type", &request.media_type)?,
        metadata: UploadMetadata {
            visibility: parse_name("/metadata/visibility", &metadata.visibility)?,
            title: metadata.title,
            description: metadata.description,
            tags: metadata.tags,
            category: metadata.category,
            language: metadata.language,
        },
        facts: Facts::default(),
        status_reason: None,
        duration_ms: 0,
        renditions: Vec::new(),
        complete: false,
        thumbnails: Vec::new(),
        created_ms: 0,
    })
}

fn parse<T: FromStr>(pointer: &str, text: &str) -> Result<T, FieldError>
where
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error: T::Err| FieldError::new(pointer, error.to_string()))
}

fn parse_name<T: DeserializeOwned>(pointer: &str, name: &str) -> Result<T, FieldError> {
    T::deserialize(serde_json::Value::from(name))
        .map_err(|error| FieldError::new(pointer, error.to_string()))
}

/// What is no id names nothing.
fn known_content(text: &str) -> Result<ContentId, Status> {
    text.parse().map_err(|_| status(ContentError::NotFound))
}

fn known_user(text: &str) -> Result<UserId, Status> {
    text.parse().map_err(|_| status(ContentError::NotFound))
}

fn status(error: ContentError) -> Status {
    status_from_problem(&error.into_problem())
}
