//! `mcsp.auth.v1`: what other services ask.

use mcsp_api::proto::auth as pb;
use mcsp_api::proto::auth::auth_server::{Auth, AuthServer};
use tonic::{Request, Response, Status};

use crate::service::AuthService;

/// The service's gRPC interface.
#[must_use]
pub fn grpc(service: AuthService) -> AuthServer<AuthGrpc> {
    AuthServer::new(AuthGrpc { service })
}

/// [`AuthService`] as `mcsp.auth.v1.Auth`.
#[derive(Debug, Clone)]
pub struct AuthGrpc {
    service: AuthService,
}

#[tonic::async_trait]
impl Auth for AuthGrpc {
    async fn get_key_set(
        &self,
        _request: Request<pb::GetKeySetRequest>,
    ) -> Result<Response<pb::KeySet>, Status> {
        Ok(Response::new(pb::KeySet {
            jwks_json: self.service.jwks_json().to_string(),
        }))
    }
}
