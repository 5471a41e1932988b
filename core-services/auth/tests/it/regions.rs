//! Two regions that can ask each other, and the line between them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mcsp_api::proto::auth as pb;
use mcsp_api::proto::auth::home_login_client::HomeLoginClient;
use mcsp_api::proto::auth::home_login_server::{HomeLogin, HomeLoginServer};
use mcsp_core_services_auth::{AuthConfig, home_login};
use mcsp_identity::{CallerTable, SpiffeId, TRUST_DOMAIN_DEFAULT};
use mcsp_rpc::{RpcChannel, RpcPolicy};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::support::{REGION, World, config, world_of};

pub(crate) const LONDON: &str = "global-london";
/// Failures in a row that open a line's breaker, and for how long.
pub(crate) const BREAKER_FAILURES: u32 = 3;
pub(crate) const BREAKER_OPEN_MS: u64 = 5_000;

/// What becomes of questions on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    Cut,
    /// They arrive nowhere, and nothing says so.
    Silent,
    /// The answer is changed to be about another region's session.
    Garbled,
}

/// A line to another region.
#[derive(Clone)]
pub(crate) struct Line(Arc<LineState>);

struct LineState {
    to: RpcChannel,
    way: Mutex<Way>,
    logins: AtomicUsize,
}

impl Line {
    fn to(world: &World, region: &str, from: &str) -> Self {
        let to = channel(home_login(world.service.clone()), region, from, "auth");
        Self(Arc::new(LineState {
            to,
            way: Mutex::new(Way::Open),
            logins: AtomicUsize::new(0),
        }))
    }

    pub(crate) fn set(&self, way: Way) {
        *self.0.way.lock().expect("a lock") = way;
    }

    /// How many logins were carried over, or would have been.
    pub(crate) fn logins(&self) -> usize {
        self.0.logins.load(Ordering::SeqCst)
    }

    async fn pass(&self) -> Result<(), Status> {
        let way = *self.0.way.lock().expect("a lock");
        match way {
            Way::Open | Way::Garbled => Ok(()),
            Way::Cut => Err(Status::unavailable("cut")),
            Way::Silent => std::future::pending().await,
        }
    }

    fn is_garbled(&self) -> bool {
        *self.0.way.lock().expect("a lock") == Way::Garbled
    }
}

#[tonic::async_trait]
impl HomeLogin for Line {
    async fn login_for(
        &self,
        request: Request<pb::LoginForRequest>,
    ) -> Result<Response<pb::LoginForResponse>, Status> {
        self.0.logins.fetch_add(1, Ordering::SeqCst);
        self.pass().await?;
        let mut answer = HomeLoginClient::new(self.0.to.clone())
            .login_for(request.into_inner())
            .await?;
        if self.is_garbled() {
            answer.get_mut().refresh_token = "r_gl_abc".to_owned();
        }
        Ok(answer)
    }

    async fn has_account(
        &self,
        request: Request<pb::HasAccountRequest>,
    ) -> Result<Response<pb::HasAccountResponse>, Status> {
        self.pass().await?;
        HomeLoginClient::new(self.0.to.clone())
            .has_account(request.into_inner())
            .await
    }
}

/// A way to an interface of `region` for `{from}/{account}`, past the caller table.
pub(crate) fn channel<H: HomeLogin>(
    server: HomeLoginServer<H>,
    region: &str,
    from: &str,
    account: &str,
) -> RpcChannel {
    let caller = SpiffeId::new(TRUST_DOMAIN_DEFAULT, from, account).expect("a name");
    let callers = CallerTable::embedded().expect("a table");
    RpcChannel::in_process_with(Routes::new(server), caller, region, callers)
}

/// Lagos and London, each with people of its own.
pub(crate) struct Regions {
    pub(crate) lagos: World,
    pub(crate) london: World,
    pub(crate) to_lagos: Line,
    pub(crate) to_london: Line,
}

/// Time enough for questions on a busy machine.
pub(crate) fn patient() -> AuthConfig {
    AuthConfig {
        peer_timeout_ms: 30_000,
        ..config()
    }
}

pub(crate) async fn regions() -> Regions {
    regions_with(patient()).await
}

pub(crate) async fn regions_with(config: AuthConfig) -> Regions {
    let mut lagos = world_of(REGION, config.clone(), "").await;
    let mut london = world_of(LONDON, config.clone(), "").await;
    let to_lagos = Line::to(&lagos, REGION, LONDON);
    let to_london = Line::to(&london, LONDON, REGION);
    let policy = RpcPolicy {
        breaker_failures: BREAKER_FAILURES,
        breaker_open_ms: BREAKER_OPEN_MS,
        ..RpcPolicy::default()
    };
    let peer = |line: &Line, region: &str, from: &str, world: &World| {
        let channel = channel(HomeLoginServer::new(line.clone()), region, from, "auth")
            .with_policy(policy)
            .with_clock(world.clock.clone());
        BTreeMap::from([(region.to_owned(), channel)])
    };
    let peers_of_lagos = peer(&to_london, LONDON, REGION, &lagos);
    let peers_of_london = peer(&to_lagos, REGION, LONDON, &london);
    lagos.knows(config.clone(), peers_of_lagos).await;
    london.knows(config, peers_of_london).await;
    Regions {
        lagos,
        london,
        to_lagos,
        to_london,
    }
}
