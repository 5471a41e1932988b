//! Serves the endpoint over mutual TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use mcsp_identity::{CallerTable, IdentityError, Peer, SpiffeId, WorkloadIdentity};
use mcsp_runtime::Shutdown;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::S3Endpoint;
use super::config::EndpointConfig;

/// The endpoint's name in the caller table.
const INTERFACE: &str = "s3";
/// The wait after a failed accept, such as one for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the endpoint cannot serve.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The identity gives no TLS configuration.
    #[error("S3 endpoint: {0}")]
    Identity(#[from] IdentityError),
}

/// In the extensions of requests whose caller is not in the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused;

/// What every connection needs.
struct Server {
    router: Router,
    acceptor: TlsAcceptor,
    identity: WorkloadIdentity,
    callers: CallerTable,
    region: String,
    config: EndpointConfig,
}

impl S3Endpoint {
    /// Serves over TLS with client certificates until `shutdown`, then drains for at most
    /// [`EndpointConfig::drain_timeout_ms`]. A caller that the table does not let use `s3` in this process's region gets
    /// 403.
    ///
    /// # Errors
    /// [`ServeError::Identity`] when the identity gives no TLS configuration.
    pub async fn serve(
        &self,
        listener: TcpListener,
        identity: WorkloadIdentity,
        callers: CallerTable,
        shutdown: Shutdown,
    ) -> Result<(), ServeError> {
        let tls = identity.server_config(&[b"h2", b"http/1.1"])?;
        let server = Arc::new(Server {
            router: self.router(),
            acceptor: TlsAcceptor::from(tls),
            region: identity.spiffe_id().namespace().to_owned(),
            identity,
            callers,
            config: self.config,
        });
        let graceful = GracefulShutdown::new();
        let permits = Arc::new(Semaphore::new(self.config.connections_max));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let accepted = tokio::select! {
                () = shutdown.wait() => break,
                accepted = accept(&listener, &permits) => accepted,
            };
            let (stream, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (server, watcher) = (Arc::clone(&server), graceful.watcher());
            connections.spawn(async move {
                server.connection(stream, watcher).await;
                drop(permit);
            });
        }
        drop(listener);
        let drain = Duration::from_millis(self.config.drain_timeout_ms);
        if tokio::time::timeout(drain, graceful.shutdown())
            .await
            .is_err()
        {
            tracing::warn!("requests were still running at the end of the drain time");
        }
        connections.shutdown().await;
        Ok(())
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

impl Server {
    async fn connection(&self, stream: TcpStream, watcher: Watcher) {
        let handshake = Duration::from_millis(self.config.handshake_timeout_ms);
        let tls = match tokio::time::timeout(handshake, self.acceptor.accept(stream)).await {
            Ok(Ok(tls)) => tls,
            Ok(Err(error)) => return tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => return tracing::debug!("a TLS handshake took too long"),
        };
        let chain = tls.get_ref().1.peer_certificates().unwrap_or_default();
        let peer = match self.identity.peer_of(chain) {
            Ok(peer) => peer,
            Err(error) => return tracing::warn!(%error, "a caller without a name"),
        };
        let is_allowed = self.callers.allows(&peer, &self.region, INTERFACE);
        if !is_allowed {
            tracing::warn!(caller = %peer, "the caller table has no line for this caller");
        }
        let service = service_fn(|request| self.request(request, &peer, is_allowed));
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(self.config.header_timeout_ms));
        builder.http2().timer(TokioTimer::new());
        let connection = builder.serve_connection(TokioIo::new(tls), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "a connection ended early");
        }
    }

    fn request(
        &self,
        mut request: http::Request<Incoming>,
        peer: &SpiffeId,
        is_allowed: bool,
    ) -> impl Future<Output = Result<axum::response::Response, std::convert::Infallible>> + Send + use<>
    {
        request.extensions_mut().insert(Peer(peer.clone()));
        if !is_allowed {
            request.extensions_mut().insert(Refused);
        }
        self.router.clone().oneshot(request)
    }
}
