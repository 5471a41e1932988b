//! Connections of peers: mutual TLS, HTTP/1.1 and HTTP/2, a bound on everything, a drain with a deadline.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use mcsp_identity::{Peer, WorkloadIdentity};
use mcsp_runtime::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::{Service, ServiceExt};

use crate::{RpcError, ServerLimits};

/// After a failure to accept, such as too many open files, the listener rests this long.
const ACCEPT_REST: Duration = Duration::from_millis(50);
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Requests' heads, HTTP/2 (uncompressed) and HTTP/1 alike.
const HEAD_BYTES_MAX: u32 = 64 * 1024;

/// Serves whoever has a certificate of ours, and says who that is: what each peer may do is for the service to decide.
#[derive(Clone)]
pub struct PeerListener {
    identity: WorkloadIdentity,
    tls: TlsAcceptor,
    limits: ServerLimits,
}

impl PeerListener {
    /// A listener as `identity`. [`ServerLimits::answer_timeout_ms`] is for the service to keep.
    ///
    /// # Errors
    /// When a limit is out of its range or the identity cannot be used.
    pub fn new(identity: WorkloadIdentity, limits: ServerLimits) -> Result<Self, RpcError> {
        limits.validate()?;
        Ok(Self {
            tls: TlsAcceptor::from(identity.server_config(&[b"h2", b"http/1.1"])?),
            identity,
            limits,
        })
    }

    /// Gives each request to a clone of `service`, the caller's name as [`Peer`] in its extensions, until `shutdown`;
    /// then lets what is under way end, for at most [`ServerLimits::drain_timeout_ms`].
    ///
    /// # Errors
    /// When the listener is not one.
    pub async fn serve<S, B>(
        self,
        listener: TcpListener,
        service: S,
        shutdown: Shutdown,
    ) -> Result<(), RpcError>
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let addr = listener.local_addr()?;
        let places = Arc::new(Semaphore::new(self.limits.connections_max as usize));
        let graceful = GracefulShutdown::new();
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
            let connection =
                self.clone()
                    .connection(stream, place, service.clone(), graceful.watcher());
            connections.spawn(connection);
        }
        drop(listener);
        let drained = tokio::time::timeout(self.limits.drain_timeout(), async {
            graceful.shutdown().await;
            while connections.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::warn!(%addr, open = connections.len(), "connections were cut: they did not end in time");
        }
        connections.shutdown().await;
        Ok(())
    }

    async fn connection<S, B>(
        self,
        stream: TcpStream,
        place: OwnedSemaphorePermit,
        service: S,
        watcher: Watcher,
    ) where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let _place = place;
        let Some((stream, peer)) = self.meet(stream).await else {
            return;
        };
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            service.clone().oneshot(request)
        });
        let builder = self.http(is_h2);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection.into_owned()).await {
            tracing::debug!(%error, "connection ended");
        }
    }

    /// The handshake, and who the peer is. Nothing when it failed, which is logged.
    async fn meet(&self, stream: TcpStream) -> Option<(TlsStream<TcpStream>, Peer)> {
        // A peer that does not want small packets early still gets a working connection.
        let _ = stream.set_nodelay(true);
        let handshake =
            tokio::time::timeout(self.limits.handshake_timeout(), self.tls.accept(stream));
        let stream = match handshake.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::warn!(%error, "TLS handshake failed");
                return None;
            }
            Err(_) => {
                tracing::warn!("TLS handshake took too long");
                return None;
            }
        };
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        match self.identity.peer_of(chain) {
            Ok(id) => Some((stream, Peer(id))),
            Err(error) => {
                tracing::warn!(%error, "a peer without a usable name was refused");
                None
            }
        }
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

impl std::fmt::Debug for PeerListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerListener")
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
