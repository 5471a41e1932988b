//! `mcsp.auth.v1.HomeLogin`: what auth services of other regions ask, for people who are far from home.

use std::net::IpAddr;

use mcsp_api::metadata::FieldError;
use mcsp_api::proto::auth as pb;
use mcsp_api::proto::auth::home_login_server::{HomeLogin, HomeLoginServer};
use mcsp_api::rest::LoginRequest;
use mcsp_identity::Peer;
use mcsp_rpc::status_from_problem;
use tonic::{Request, Response, Status};

use crate::account;
use crate::error::AuthError;
use crate::service::AuthService;

/// The longest message that is read, bytes: an address, a password and another address.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// The interface for other regions.
#[must_use]
pub fn home_login(service: AuthService) -> HomeLoginServer<HomeLoginGrpc> {
    HomeLoginServer::new(HomeLoginGrpc { service }).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

/// [`AuthService`] as `mcsp.auth.v1.HomeLogin`.
#[derive(Debug, Clone)]
pub struct HomeLoginGrpc {
    service: AuthService,
}

#[tonic::async_trait]
impl HomeLogin for HomeLoginGrpc {
    async fn login_for(
        &self,
        request: Request<pb::LoginForRequest>,
    ) -> Result<Response<pb::LoginForResponse>, Status> {
        let asked_by = request
            .extensions()
            .get::<Peer>()
            .map(|peer| peer.0.to_string());
        let message = request.into_inner();
        let client_address = message.client_address.parse::<IpAddr>().ok();
        let login = LoginRequest {
            email: message.email,
            password: message.password,
        };
        if !account::may_exist(&login) {
            // The asking region looks at this first, so that it comes from nobody honest.
            let fault = FieldError::new("", "no account has such an address or such a password");
            return Err(refusal(fault.into()));
        }
        let signed_in = self.service.login_for(&login).await.map_err(refusal)?;
        tracing::info!(
            asked_by,
            client_address = client_address.map(tracing::field::display),
            user_id = signed_in.response.user.user_id,
            "signed in through another region"
        );
        let token_json = serde_json::to_string(&signed_in.response)
            .map_err(|error| refusal(AuthError::Internal(error.to_string())))?;
        Ok(Response::new(pb::LoginForResponse {
            token_json,
            refresh_token: signed_in.refresh_token,
            refresh_max_age_s: signed_in.refresh_max_age_s,
        }))
    }

    async fn has_account(
        &self,
        request: Request<pb::HasAccountRequest>,
    ) -> Result<Response<pb::HasAccountResponse>, Status> {
        let email = request.into_inner().email;
        let has_account = self.service.has_account(&email).await.map_err(refusal)?;
        Ok(Response::new(pb::HasAccountResponse { has_account }))
    }
}

fn refusal(error: AuthError) -> Status {
    status_from_problem(&error.into_problem())
}
