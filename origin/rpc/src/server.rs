//! The listener of a process: mutual TLS, HTTP/1.1 and HTTP/2, gRPC and HTTP side by side.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use mcsp_identity::{CallerTable, Peer, WorkloadIdentity};
use mcsp_runtime::{SharedClock, Shutdown, SystemClock};
use mcsp_telemetry::{TelemetryBody, TelemetryLayer, TelemetryService};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tonic::service::Routes;
use tower::{Layer, ServiceExt};

use crate::gate::{Gate, GateService};
use crate::interface::{HTTP_API, HTTP_MEDIA, HTTP_WEB};
use crate::{RequestClock, RpcError, ServerLimits};

/// After a failure to accept, such as too many open files, the listener rests this long.
const ACCEPT_REST: Duration = Duration::from_millis(50);
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Requests' heads, HTTP/2 (uncompressed) and HTTP/1 alike.
const HEAD_BYTES_MAX: u32 = 64 * 1024;

/// A process's listener. Each request's caller is looked up in the caller table (403 problem, `PERMISSION_DENIED`), its
/// name is put in the request's extensions as [`Peer`], and telemetry is around everything.
pub struct RpcServer {
    service: TelemetryService<GateService>,
    tls: TlsAcceptor,
    identity: WorkloadIdentity,
    limits: ServerLimits,
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
        let addr = listener.local_addr()?;
        let drain_timeout = self.limits.drain_timeout();
        let places = Arc::new(Semaphore::new(self.limits.connections_max as usize));
        let graceful = GracefulShutdown::new();
        let server = Arc::new(self);
        let mut connections = JoinSet::new();
        let mut stop = std::pin::pin!(shutdown.wait());
        loop {
            while connections.try_join_next().is_some() {}
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = accept(&listener, &places) => accepted,
            };
            let Some((stream, place)) = accepted else {
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            };
            connections.spawn(Arc::clone(&server).connection(stream, place, graceful.watcher()));
        }
        drop(listener);
        let drained = tokio::time::timeout(drain_timeout, async {
            graceful.shutdown().await;
            while connections.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::warn!(%addr, open = connections.len(), "connections were cut: they did not end in time");
        }
        connections.shutdown().await;
        Ok(())
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        place: OwnedSemaphorePermit,
        watcher: Watcher,
    ) {
        let _place = place;
        // A peer that does not want small packets early still gets a working connection.
        let _ = stream.set_nodelay(true);
        let handshake =
            tokio::time::timeout(self.limits.handshake_timeout(), self.tls.accept(stream));
        let stream = match handshake.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::warn!(%error, "TLS handshake failed");
                return;
            }
            Err(_) => {
                tracing::warn!("TLS handshake took too long");
                return;
            }
        };
        let (_, session) = stream.get_ref();
        let is_h2 = session.alpn_protocol() == Some(b"h2");
        let peer = match self
            .identity
            .peer_of(session.peer_certificates().unwrap_or_default())
        {
            Ok(id) => Peer(id),
            Err(error) => {
                tracing::warn!(%error, "a peer without a usable name was refused");
                return;
            }
        };
        let service = service_fn({
            let server = Arc::clone(&self);
            move |request| Arc::clone(&server).answer(request, peer.clone())
        });
        let builder = self.http(is_h2);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection.into_owned()).await {
            tracing::debug!(%error, "connection ended");
        }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
    ) -> Result<Response<TelemetryBody<Body>>, Infallible> {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        request
            .extensions_mut()
            .insert(RequestClock(Arc::clone(&self.clock)));
        self.service.clone().oneshot(request).await
    }

    /// ALPN has decided the version already, so a client that connects and says nothing meets a timeout at once.
    fn http(&self, is_h2: bool) -> auto::Builder<TokioExecutor> {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout())
            .max_buf_size(HEAD_BYTES_MAX as usize);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.h2_streams_max)
            .max_header_list_size(HEAD_BYTES_MAX)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        if is_h2 {
            builder.http2_only()
        } else {
            builder.http1_only()
        }
    }
}

impl std::fmt::Debug for RpcServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RpcServer")
            .field("identity", &self.identity)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A connection, once there is a place for it. Cancel-safe: a place that no connection took is given back.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            None
        }
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
        self.limits.validate()?;
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
            tls: TlsAcceptor::from(self.identity.server_config(&[b"h2", b"http/1.1"])?),
            identity: self.identity,
            limits: self.limits,
            clock: self.clock,
        })
    }
}
