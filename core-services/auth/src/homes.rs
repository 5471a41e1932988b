//! Accounts whose home is another region: that region is asked, and alone issues their tokens.
//!
//! The asking is bounded in time, has a circuit breaker for each region, and is only done for addresses and passwords
//! that some account could have. Whoever has the right password of an account of this region never waits for it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use mcsp_api::proto::auth as pb;
use mcsp_api::proto::auth::home_login_client::HomeLoginClient;
use mcsp_api::rest::{LoginRequest, TokenResponse};
use mcsp_api::{ProblemKind, RegionCode, UserId};
use mcsp_rpc::{RpcChannel, problem_from_status};
use tokio::time::timeout;
use tonic::{Request, Response, Status};

use crate::secrets::region_of_refresh_token;
use crate::service::SignedIn;

/// Told where a region that was not reached says nothing better, seconds.
const RETRY_AFTER_S: u32 = 5;
/// An answer is small: what is not there so long after its head is broken.
const ANSWER_READ_MAX: Duration = Duration::from_secs(1);

/// The other regions' auth services.
#[derive(Debug)]
pub(crate) struct Homes {
    peers: BTreeMap<String, RpcChannel>,
    own: RegionCode,
    answer_timeout: Duration,
}

/// What the other regions said to a login.
#[derive(Debug)]
pub(crate) enum Elsewhere {
    /// One of them signed the client in.
    SignedIn(SignedIn),
    /// All of them answered, and none did.
    Refused,
    /// One of them has had too many wrong passwords for the address.
    Locked { retry_after_s: u32 },
    /// One of them could not be asked, so that nothing is known.
    Unknown { retry_after_s: u32 },
}

/// Is an address in use elsewhere?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InUse {
    Yes,
    No,
    /// No region that answered knows it, and one did not answer.
    Unknown,
}

impl Homes {
    pub(crate) fn new(
        peers: BTreeMap<String, RpcChannel>,
        own: RegionCode,
        answer_timeout_ms: u32,
    ) -> Self {
        Self {
            peers,
            own,
            answer_timeout: Duration::from_millis(u64::from(answer_timeout_ms)),
        }
    }

    /// Signs in wherever the account is. All regions are asked at once, and the first that signs in ends it.
    pub(crate) async fn login(&self, request: &LoginRequest, client: Option<IpAddr>) -> Elsewhere {
        let mut answers: FuturesUnordered<_> = self
            .peers
            .iter()
            .map(|(region, channel)| self.login_at(region, channel, request, client))
            .collect();
        let mut found = Elsewhere::Refused;
        while let Some(answer) = answers.next().await {
            found = match (found, answer) {
                (_, Elsewhere::SignedIn(signed_in)) => return Elsewhere::SignedIn(signed_in),
                (found, Elsewhere::Refused) => found,
                (Elsewhere::Locked { retry_after_s }, Elsewhere::Unknown { .. }) => {
                    Elsewhere::Locked { retry_after_s }
                }
                (_, answer) => answer,
            };
        }
        found
    }

    /// Asks every region whether it has an account with this address.
    pub(crate) async fn in_use(&self, email: &str) -> InUse {
        let mut answers: FuturesUnordered<_> = self
            .peers
            .iter()
            .map(|(region, channel)| self.in_use_at(region, channel, email))
            .collect();
        let mut found = InUse::No;
        while let Some(answer) = answers.next().await {
            match answer {
                InUse::Yes => return InUse::Yes,
                InUse::No => {}
                InUse::Unknown => found = InUse::Unknown,
            }
        }
        found
    }

    async fn login_at(
        &self,
        region: &str,
        channel: &RpcChannel,
        request: &LoginRequest,
        client: Option<IpAddr>,
    ) -> Elsewhere {
        let message = pb::LoginForRequest {
            email: request.email.clone(),
            password: request.password.clone(),
            client_address: client
                .map(|address| address.to_string())
                .unwrap_or_default(),
        };
        let mut peer = HomeLoginClient::new(channel.clone());
        let answer = self.bounded(peer.login_for(self.request(message))).await;
        let problem = match answer {
            Ok(answer) => match self.read(answer) {
                Some(signed_in) => return Elsewhere::SignedIn(signed_in),
                None => {
                    tracing::error!(region, "a region's answer to a login makes no sense");
                    ProblemKind::BadGateway.into()
                }
            },
            Err(status) => problem_from_status(&status),
        };
        let retry_after_s = problem.retry_after_s.unwrap_or(RETRY_AFTER_S);
        match problem.status {
            401 => Elsewhere::Refused,
            429 => Elsewhere::Locked { retry_after_s },
            status => {
                tracing::warn!(region, status, "a region could not be asked for an account");
                Elsewhere::Unknown { retry_after_s }
            }
        }
    }

    async fn in_use_at(&self, region: &str, channel: &RpcChannel, email: &str) -> InUse {
        let message = pb::HasAccountRequest {
            email: email.to_owned(),
        };
        let mut peer = HomeLoginClient::new(channel.clone());
        match self.bounded(peer.has_account(self.request(message))).await {
            Ok(answer) if answer.has_account => InUse::Yes,
            Ok(_) => InUse::No,
            Err(status) => {
                let code = status.code();
                tracing::warn!(region, ?code, "a region could not be asked for an account");
                InUse::Unknown
            }
        }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.answer_timeout);
        request
    }

    /// The channel bounds the time to the answer's head, and its breaker hears of it; this bounds the rest.
    async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Status> {
        match timeout(self.answer_timeout + ANSWER_READ_MAX, call).await {
            Ok(answer) => answer.map(Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("the answer broke off")),
        }
    }

    /// `None` when the answer is not one of another region about an account of its own.
    fn read(&self, answer: pb::LoginForResponse) -> Option<SignedIn> {
        let response: TokenResponse = serde_json::from_str(&answer.token_json).ok()?;
        let home = response.user.user_id.parse::<UserId>().ok()?.region();
        let is_of_home = home != self.own
            && region_of_refresh_token(&answer.refresh_token) == Some(home)
            && answer.refresh_max_age_s > 0;
        is_of_home.then_some(SignedIn {
            response,
            refresh_token: answer.refresh_token,
            refresh_max_age_s: answer.refresh_max_age_s,
        })
    }
}
