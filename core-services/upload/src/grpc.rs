//! `mcsp.upload.v1`: what upload services of other regions ask.

use mcsp_api::proto::upload as pb;
use mcsp_api::proto::upload::upload_server::{Upload, UploadServer};
use mcsp_rpc::status_from_problem;
use tonic::{Request, Response, Status};

use crate::service::UploadService;

/// The service's gRPC interface.
#[must_use]
pub fn grpc(service: UploadService) -> UploadServer<UploadGrpc> {
    UploadServer::new(UploadGrpc { service })
}

/// [`UploadService`] as `mcsp.upload.v1.Upload`.
#[derive(Debug, Clone)]
pub struct UploadGrpc {
    service: UploadService,
}

#[tonic::async_trait]
impl Upload for UploadGrpc {
    async fn create_session_for(
        &self,
        request: Request<pb::CreateSessionForRequest>,
    ) -> Result<Response<pb::CreateSessionForResponse>, Status> {
        let request = request.into_inner();
        let session = self
            .service
            .create_for(
                &request.creator_id,
                &request.organisation_id,
                &request.request_json,
                &request.idempotency_key,
                &request.decision_json,
            )
            .await
            .map_err(|error| status_from_problem(&error.into_problem()))?;
        // A struct of texts and numbers always has a JSON form.
        let session_json = serde_json::to_string(&session).unwrap_or_default();
        Ok(Response::new(pb::CreateSessionForResponse { session_json }))
    }
}
