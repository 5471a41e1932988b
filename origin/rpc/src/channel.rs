//! The channel that a generated gRPC client calls through.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::HeaderValue;
use http::{Request, Response};
use mcsp_identity::{CallerTable, Peer, SpiffeId, WorkloadIdentity};
use mcsp_runtime::{SharedClock, SystemClock};
use mcsp_telemetry::{TelemetryLayer, TelemetryService, current_trace};
use tokio::sync::Semaphore;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::{Layer, Service, ServiceExt};

use crate::breaker::{Breaker, Leave};
use crate::gate::{Gate, GateService};
use crate::policy::{CALLS_MAX, TIMEOUT_MAX};
use crate::remote::Remote;
use crate::response::{CallBody, status_response};
use crate::{BreakerState, RpcError, RpcPolicy, deadline};

/// A way to another service's gRPC interface: `AuthClient::new(channel)`. Cloning shares the connection and the
/// breaker.
///
/// The current trace goes along. Every call has a deadline, and a callee that fails [`RpcPolicy::breaker_failures`]
/// times in a row is left alone for [`RpcPolicy::breaker_open_ms`]. Nothing is sent twice: only what has certainly not
/// left this process is tried on a second connection. Whatever goes wrong is a [`Status`].
#[derive(Clone)]
pub struct RpcChannel {
    transport: Transport,
    /// Who is called, for logs.
    callee: Arc<str>,
    policy: RpcPolicy,
    clock: SharedClock,
    breaker: Breaker,
    calls: Arc<Semaphore>,
}

#[derive(Clone)]
enum Transport {
    InProcess {
        service: TelemetryService<GateService>,
        caller: SpiffeId,
    },
    Remote(Arc<Remote>),
}

impl RpcChannel {
    /// Calls `routes` in this process, as `caller`: no sockets, no framing, the same telemetry and the same check
    /// against the caller table. The callee's region is the caller's; the table is the embedded one.
    #[must_use]
    pub fn in_process(routes: Routes, caller: SpiffeId) -> Self {
        let region = caller.namespace().to_owned();
        let callers = CallerTable::embedded().unwrap_or_else(|error| {
            tracing::error!(%error, "the embedded caller table cannot be read; every call is refused");
            CallerTable::deny_all()
        });
        Self::in_process_with(routes, caller, &region, callers)
    }

    /// [`Self::in_process`] with the callee's region and caller table.
    #[must_use]
    pub fn in_process_with(
        routes: Routes,
        caller: SpiffeId,
        region: &str,
        callers: CallerTable,
    ) -> Self {
        let gate = Gate {
            region: region.to_owned(),
            callers,
            grpc: Some(routes.prepare()),
            http: BTreeMap::new(),
            answer_timeout: TIMEOUT_MAX,
        };
        Self::new(Transport::InProcess {
            service: TelemetryLayer::new("rpc").layer(GateService(Arc::new(gate))),
            caller,
        })
    }

    /// Calls the process at `addr` (`host:port`) whose certificate must bear `server_name`, over TLS 1.3 with
    /// `identity`. Connects when first called, and again when the connection is lost.
    ///
    /// # Errors
    /// When `addr` or `server_name` is malformed, or the identity cannot be used.
    pub fn connect(
        addr: &str,
        server_name: &str,
        identity: &WorkloadIdentity,
    ) -> Result<Self, RpcError> {
        Ok(Self::new(Transport::Remote(Arc::new(Remote::new(
            addr,
            server_name,
            identity,
        )?))))
    }

    fn new(transport: Transport) -> Self {
        let (policy, clock) = (RpcPolicy::default(), SystemClock::shared());
        let callee: Arc<str> = match &transport {
            Transport::InProcess { caller, .. } => format!("in process, as {caller}").into(),
            Transport::Remote(remote) => remote.callee().into(),
        };
        Self {
            transport,
            policy,
            breaker: Breaker::new(Arc::clone(&callee), &policy, Arc::clone(&clock)),
            callee,
            clock,
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
        }
    }

    /// With other bounds. The breaker begins closed.
    #[must_use]
    pub fn with_policy(mut self, policy: RpcPolicy) -> Self {
        self.policy = policy;
        self.breaker = Breaker::new(Arc::clone(&self.callee), &policy, Arc::clone(&self.clock));
        self
    }

    /// With another clock for the breaker. The breaker begins closed.
    #[must_use]
    pub fn with_clock(mut self, clock: SharedClock) -> Self {
        self.clock = Arc::clone(&clock);
        self.breaker = Breaker::new(Arc::clone(&self.callee), &self.policy, clock);
        self
    }

    /// What the breaker does with calls now.
    #[must_use]
    pub fn breaker_state(&self) -> BreakerState {
        self.breaker.state()
    }

    async fn run(self, mut request: Request<Body>) -> Response<Body> {
        let Some(leave) = self.breaker.admit() else {
            return status_response(Status::unavailable(
                "the service failed too often; it is left alone for a while",
            ));
        };
        let timeout = deadline::read(request.headers()).unwrap_or(self.policy.timeout());
        deadline::write(request.headers_mut(), timeout);
        if let Some(value) =
            current_trace().and_then(|trace| HeaderValue::try_from(trace.header_value()).ok())
        {
            request
                .headers_mut()
                .insert(mcsp_api::headers::TRACEPARENT, value);
        }
        let answered = tokio::time::timeout(timeout, self.send(request)).await;
        judge(leave, timeout, answered)
    }

    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        let permit = Arc::clone(&self.calls)
            .acquire_owned()
            .await
            .map_err(|_| Status::unavailable("the channel is closed"))?;
        match &self.transport {
            Transport::InProcess { service, caller } => {
                request.extensions_mut().insert(Peer(caller.clone()));
                let request = request.map(axum::body::Body::new);
                let response = service
                    .clone()
                    .oneshot(request)
                    .await
                    .unwrap_or_else(|never| match never {});
                Ok(response.map(|body| Body::new(CallBody::new(body, permit))))
            }
            Transport::Remote(remote) => match remote.send(request).await {
                Ok(response) => Ok(response.map(|body| Body::new(CallBody::new(body, permit)))),
                Err(error) => Err(Status::unavailable(error.to_string())),
            },
        }
    }
}

/// Tells the breaker how the call went.
fn judge(
    leave: Leave,
    timeout: Duration,
    answered: Result<Result<Response<Body>, Status>, tokio::time::error::Elapsed>,
) -> Response<Body> {
    match answered {
        Ok(Ok(response)) => {
            // A callee that answers "unavailable" is as good as away; any other status is an answer.
            let status = Status::from_header_map(response.headers());
            match status.map(|status| status.code()) {
                Some(Code::Unavailable | Code::DeadlineExceeded) => leave.failed(),
                _ => leave.succeeded(),
            }
            response
        }
        Ok(Err(status)) => {
            leave.failed();
            status_response(status)
        }
        Err(_) => {
            leave.failed();
            status_response(Status::deadline_exceeded(format!(
                "no answer within {} ms",
                timeout.as_millis()
            )))
        }
    }
}

impl Service<Request<Body>> for RpcChannel {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let channel = self.clone();
        Box::pin(async move { Ok(channel.run(request).await) })
    }
}

impl fmt::Debug for RpcChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcChannel")
            .field("callee", &self.callee)
            .field("policy", &self.policy)
            .field("breaker", &self.breaker_state())
            .finish_non_exhaustive()
    }
}
