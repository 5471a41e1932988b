//! The gate that every request passes, whichever way it came: may this caller use this interface, and who answers?

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use http::{Request, Response};
use mcsp_api::{Problem, ProblemKind};
use mcsp_identity::{CallerTable, Peer};
use mcsp_telemetry::current_trace;
use tonic::Status;
use tonic::service::Routes;
use tower::{Service, ServiceExt};

use crate::deadline;
use crate::interface::Interface;
use crate::response::status_response;

/// What a process serves, and the table that says to whom.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) region: String,
    pub(crate) callers: CallerTable,
    pub(crate) grpc: Option<Routes>,
    pub(crate) http: BTreeMap<&'static str, Router>,
    pub(crate) answer_timeout: Duration,
}

/// The gate as a service; the request carries its [`Peer`].
#[derive(Debug, Clone)]
pub(crate) struct GateService(pub(crate) Arc<Gate>);

impl Service<Request<Body>> for GateService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let gate = Arc::clone(&self.0);
        Box::pin(async move { Ok(gate.answer(request).await) })
    }
}

impl Gate {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let interface = Interface::of(&request);
        let caller = request.extensions().get::<Peer>().map(|peer| &peer.0);
        if !caller.is_some_and(|caller| self.callers.allows(caller, &self.region, interface.name()))
        {
            let caller = caller.map(ToString::to_string);
            tracing::warn!(
                caller,
                interface = interface.name(),
                "a caller was refused: no rule allows it"
            );
            return refuse(
                &interface,
                ProblemKind::Forbidden,
                Status::permission_denied("no rule allows this call"),
            );
        }
        let timeout = deadline::read(request.headers())
            .unwrap_or(self.answer_timeout)
            .min(self.answer_timeout);
        match tokio::time::timeout(timeout, self.dispatch(&interface, request)).await {
            Ok(response) => response,
            Err(_) => refuse(
                &interface,
                ProblemKind::Timeout,
                Status::deadline_exceeded("no answer in time"),
            ),
        }
    }

    async fn dispatch(&self, interface: &Interface, request: Request<Body>) -> Response<Body> {
        let answered = match interface {
            Interface::Grpc(_) => match &self.grpc {
                Some(routes) => routes
                    .clone()
                    .oneshot(request)
                    .await
                    .map(|response| response.map(Body::new)),
                None => Ok(status_response(Status::unimplemented(
                    "no gRPC service here",
                ))),
            },
            Interface::Http(name) => match self.http.get(name) {
                Some(router) => router.clone().oneshot(request).await,
                None => Ok(refuse(
                    interface,
                    ProblemKind::NotFound,
                    Status::unimplemented("not served here"),
                )),
            },
        };
        answered.unwrap_or_else(|never| match never {})
    }
}

fn refuse(interface: &Interface, kind: ProblemKind, status: Status) -> Response<Body> {
    match interface {
        Interface::Grpc(_) => status_response(status),
        Interface::Http(_) => {
            let mut problem = Problem::new(kind);
            if let Some(trace) = current_trace() {
                problem = problem.trace_id(trace.trace_id_hex());
            }
            problem.into_response()
        }
    }
}
