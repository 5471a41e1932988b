//! The server of a process: gRPC and HTTP side by side, behind the caller table.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use mcsp_identity::{CallerTable, WorkloadIdentity};
use mcsp_runtime::{SharedClock, Shutdown, SystemClock};
use mcsp_telemetry::{TelemetryLayer, TelemetryService};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tower::{Layer, ServiceBuilder};

use crate::gate::{Gate, GateService};
use crate::interface::{HTTP_API, HTTP_MEDIA, HTTP_WEB};
use crate::{PeerListener, RequestClock, RpcError, ServerLimits};

/// A process's listener. Each request's caller is looked up in the caller table (403 problem, `PERMISSION_DENIED`), its
/// name is put in the request's extensions as [`Peer`], and telemetry is around everything.
pub struct RpcServer {
    service: TelemetryService<GateService>,
    listener: PeerListener,
    clock: SharedClock,
}

/// Collects what an [`RpcServer`] serves.
#[derive(Debug)]
pub struct RpcServerBuilder {
    service: &'static str,
    region: String,
    identity: WorkloadIdentity,
    callers: CallerTable,
    grpc: Option<Routes>,
    http: BTreeMap<&'static str, Router>,
    unknown: Option<String>,
    limits: ServerLimits,
    clock: SharedClock,
    sample_ratio: Option<f64>,
}

impl RpcServer {
    /// A server in `region` with `identity`, open to those whom `callers` names.
    #[must_use]
    pub fn builder(
        region: &str,
        identity: WorkloadIdentity,
        callers: CallerTable,
    ) -> RpcServerBuilder {
        RpcServerBuilder {
            service: "rpc",
            region: region.to_owned(),
            identity,
            callers,
            grpc: None,
            http: BTreeMap::new(),
            unknown: None,
            limits: ServerLimits::default(),
            clock: SystemClock::shared(),
            sample_ratio: None,
        }
    }

    /// Serves until `shutdown`, then lets what is under way end, for at most [`ServerLimits::drain_timeout_ms`].
    ///
    /// # Errors
    /// When the listener is not one.
    pub async fn serve(self, listener: TcpListener, shutdown: Shutdown) -> Result<(), RpcError> {
        let clock = self.clock;
        let service = ServiceBuilder::new()
            .map_request(move |request: Request<Incoming>| {
                let mut request = request.map(Body::new);
                request
                    .extensions_mut()
                    .insert(RequestClock(Arc::clone(&clock)));
                request
            })
            .service(self.service);
        self.listener.serve(listener, service, shutdown).await
    }
}

impl std::fmt::Debug for RpcServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RpcServer")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

impl RpcServerBuilder {
    /// Adds gRPC services; called again, adds more. Panics when one service is added twice, as axum's routers do.
    #[must_use]
    pub fn grpc(mut self, routes: Routes) -> Self {
        self.grpc = Some(match self.grpc.take() {
            // Both come with the same fallback; a router has one.
            Some(there) => there
                .into_axum_router()
                .merge(routes.into_axum_router().reset_fallback())
                .into(),
            None => routes,
        });
        self
    }

    /// Adds the routes of an HTTP interface (`http:api`, `http:media`, `http:web`); called again, adds more. Wrap a
    /// service's router in its own [`TelemetryLayer`] to have its requests under its name.
    #[must_use]
    pub fn http(mut self, interface: &str, router: Router) -> Self {
        let known = [HTTP_API, HTTP_MEDIA, HTTP_WEB]
            .into_iter()
            .find(|known| *known == interface);
        match known {
            Some(interface) => {
                let merged = match self.http.remove(interface) {
                    Some(there) => there.merge(router),
                    None => router,
                };
                self.http.insert(interface, merged);
            }
            None => self.unknown = Some(interface.to_owned()),
        }
        self
    }

    /// With other bounds.
    #[must_use]
    pub fn limits(mut self, limits: ServerLimits) -> Self {
        self.limits = limits;
        self
    }

    /// With the clock that decides whether viewers' identities have expired.
    #[must_use]
    pub fn clock(mut self, clock: SharedClock) -> Self {
        self.clock = clock;
        self
    }

    /// With the name under which requests are counted that no inner layer names; default `rpc`.
    #[must_use]
    pub fn service(mut self, service: &'static str) -> Self {
        self.service = service;
        self
    }

    /// Of the traces that begin at this server, samples this share, 0 to 1.
    #[must_use]
    pub fn sample_ratio(mut self, ratio: f64) -> Self {
        self.sample_ratio = Some(ratio);
        self
    }

    /// The server, ready to serve.
    ///
    /// # Errors
    /// When an interface is unknown, a limit is out of its range, or the identity cannot be used.
    pub fn build(self) -> Result<RpcServer, RpcError> {
        if let Some(value) = self.unknown {
            return Err(RpcError::Config {
                key: "interface",
                value,
                expected: "http:api, http:media or http:web",
            });
        }
        let listener = PeerListener::new(self.identity, self.limits)?;
        let mut telemetry = TelemetryLayer::new(self.service);
        if let Some(ratio) = self.sample_ratio {
            telemetry = telemetry.with_sample_ratio(ratio);
        }
        // Around each router too, where the matched route is known; there it names and does not measure again.
        let http = self
            .http
            .into_iter()
            .map(|(interface, router)| (interface, router.layer(telemetry.clone()).with_state(())))
            .collect();
        let gate = Gate {
            region: self.region,
            callers: self.callers,
            grpc: self.grpc.map(Routes::prepare),
            http,
            answer_timeout: self.limits.answer_timeout(),
        };
        Ok(RpcServer {
            service: telemetry.layer(GateService(Arc::new(gate))),
            listener,
            clock: self.clock,
        })
    }
}
