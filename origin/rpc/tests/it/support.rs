//! A service to call, and the two ways to it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mcsp_api::proto::auth::auth_client::AuthClient;
use mcsp_api::proto::auth::auth_server::{Auth, AuthServer};
use mcsp_api::proto::auth::{GetKeySetRequest, KeySet};
use mcsp_identity::{CallerTable, Peer, SpiffeId, WorkloadIdentity};
use mcsp_rpc::{RpcChannel, RpcServer, RpcServerBuilder};
use mcsp_runtime::{Shutdown, ShutdownTrigger};
use mcsp_telemetry::current_trace;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

pub(crate) const REGION: &str = "ng-lagos";
/// Longer than anything here takes, so that a test that would hang fails instead.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// What the service does with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Mood {
    Answers,
    Unavailable,
    NotFound,
    /// Until it is released.
    Waits,
}

/// Answers with what it saw: the caller and the trace.
#[derive(Debug, Default)]
pub(crate) struct Echo {
    mood: AtomicU32,
    pub(crate) entered: Notify,
    pub(crate) release: Notify,
    pub(crate) calls: AtomicU32,
    pub(crate) dropped: Arc<Notify>,
}

impl Echo {
    pub(crate) fn set(&self, mood: Mood) {
        self.mood.store(mood as u32, Ordering::SeqCst);
    }

    pub(crate) fn calls(&self) -> u32 {
        self.calls.load(Ordering::SeqCst)
    }
}

/// Tells that the call's future is gone.
struct Told(Arc<Notify>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

pub(crate) struct EchoService(pub(crate) Arc<Echo>);

#[tonic::async_trait]
impl Auth for EchoService {
    async fn get_key_set(
        &self,
        request: Request<GetKeySetRequest>,
    ) -> Result<Response<KeySet>, Status> {
        let echo = &self.0;
        let _told = Told(Arc::clone(&echo.dropped));
        echo.calls.fetch_add(1, Ordering::SeqCst);
        echo.entered.notify_one();
        match echo.mood.load(Ordering::SeqCst) {
            mood if mood == Mood::Unavailable as u32 => return Err(Status::unavailable("busy")),
            mood if mood == Mood::NotFound as u32 => return Err(Status::not_found("none")),
            mood if mood == Mood::Waits as u32 => echo.release.notified().await,
            _ => {}
        }
        let caller = request
            .extensions()
            .get::<Peer>()
            .map(|peer| peer.0.to_string());
        let trace = current_trace().map(|trace| trace.trace_id_hex());
        Ok(Response::new(KeySet {
            jwks_json: format!(
                "{} {}",
                caller.unwrap_or_default(),
                trace.unwrap_or_default()
            ),
        }))
    }
}

pub(crate) fn routes(echo: &Arc<Echo>) -> Routes {
    Routes::new(AuthServer::new(EchoService(Arc::clone(echo))))
}

pub(crate) fn id(namespace: &str, account: &str) -> SpiffeId {
    SpiffeId::new("mcsp.internal", namespace, account).unwrap()
}

/// A folder whose authority issues everyone's identity.
pub(crate) struct Cast(pub(crate) TempDir);

impl Cast {
    pub(crate) fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    pub(crate) fn identity(&self, namespace: &str, account: &str) -> WorkloadIdentity {
        mcsp_rpc::testing::issue(self.0.path(), namespace, account).unwrap()
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn server(&self) -> RpcServerBuilder {
        let callers = CallerTable::embedded().unwrap();
        RpcServer::builder(REGION, self.identity(REGION, "origin"), callers)
    }
}

/// A server that runs until it is stopped.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) trigger: ShutdownTrigger,
    pub(crate) task: JoinHandle<()>,
}

impl Running {
    pub(crate) async fn start(builder: RpcServerBuilder) -> Self {
        Self::start_at(builder, "127.0.0.1:0").await
    }

    pub(crate) async fn start_at(builder: RpcServerBuilder, addr: &str) -> Self {
        let listener = TcpListener::bind(addr).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (trigger, shutdown): (ShutdownTrigger, Shutdown) = ShutdownTrigger::new();
        let server = builder.build().unwrap();
        let task = tokio::spawn(async move { server.serve(listener, shutdown).await.unwrap() });
        Self {
            addr,
            trigger,
            task,
        }
    }

    pub(crate) async fn stop(self) {
        self.trigger.trigger();
        tokio::time::timeout(SOON, self.task)
            .await
            .expect("it stops")
            .unwrap();
    }

    pub(crate) fn channel(&self, identity: &WorkloadIdentity) -> RpcChannel {
        RpcChannel::connect(
            &self.addr.to_string(),
            "origin.ng-lagos.mcsp.internal",
            identity,
        )
        .unwrap()
    }
}

pub(crate) async fn call(channel: &RpcChannel) -> Result<String, Status> {
    let call = async {
        AuthClient::new(channel.clone())
            .get_key_set(GetKeySetRequest {})
            .await
            .map(|response| response.into_inner().jwks_json)
    };
    tokio::time::timeout(SOON, call)
        .await
        .expect("every call ends")
}
