//! `mcsp.playback.v1`: what other services ask.

use mcsp_api::proto::playback as pb;
use mcsp_api::proto::playback::playback_server::{Playback, PlaybackServer};
use mcsp_rpc::status_from_problem;
use tonic::{Request, Response, Status};

use crate::error::PlaybackError;
use crate::service::PlaybackService;

/// The service's gRPC interface.
#[must_use]
pub fn grpc(service: PlaybackService) -> PlaybackServer<PlaybackGrpc> {
    PlaybackServer::new(PlaybackGrpc { service })
}

/// [`PlaybackService`] as `mcsp.playback.v1.Playback`.
#[derive(Debug, Clone)]
pub struct PlaybackGrpc {
    service: PlaybackService,
}

#[tonic::async_trait]
impl Playback for PlaybackGrpc {
    async fn revoke_media_session(
        &self,
        request: Request<pb::RevokeMediaSessionRequest>,
    ) -> Result<Response<pb::RevokeMediaSessionResponse>, Status> {
        let request = request.into_inner();
        let id = request
            .media_session_id
            .parse()
            .map_err(|_| status(PlaybackError::NotFound))?;
        self.service
            .revoke(&id, &request.reason)
            .await
            .map_err(status)?;
        Ok(Response::new(pb::RevokeMediaSessionResponse {}))
    }
}

fn status(error: PlaybackError) -> Status {
    status_from_problem(&error.into_problem())
}
