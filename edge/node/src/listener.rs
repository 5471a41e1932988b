//! Listeners for viewers: accept, TLS, then the proxy. Our own loop rather than pingora's, which can neither say which
//! port it got nor leave signals and drain to the node.

use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use mcsp_edge_limits::{ConnectionGuard, Limits};
use mcsp_edge_proxy::Door;
use mcsp_edge_tls::TlsServer;
use pingora_core::protocols::l4::stream::Stream as L4Stream;
use pingora_core::protocols::{GetSocketDigest as _, SocketDigest, Stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::addresses::ListenerAddress;
use crate::boot::BootError;
use crate::config::{ConnectionsConfig, ListenerConfig};
use crate::metrics::NodeMetrics;

/// How long accepting pauses when the process is out of file descriptors.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all listeners share.
#[derive(Clone)]
pub(crate) struct Doorway {
    pub(crate) door: Arc<Door>,
    permits: Arc<Semaphore>,
    limits: Arc<Limits>,
    handshake_timeout: Duration,
    metrics: NodeMetrics,
    tracker: TaskTracker,
    stop: watch::Receiver<bool>,
}

impl Doorway {
    pub(crate) fn new(
        door: Arc<Door>,
        config: &ConnectionsConfig,
        limits: Arc<Limits>,
        metrics: NodeMetrics,
        tracker: TaskTracker,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            door,
            permits: Arc::new(Semaphore::new(config.max)),
            limits,
            handshake_timeout: Duration::from_millis(config.handshake_timeout_ms),
            metrics,
            tracker,
            stop,
        }
    }
}

/// A bound listener.
pub(crate) struct Listening {
    listener: TcpListener,
    tls: Option<TlsServer>,
    pub(crate) address: ListenerAddress,
}

impl Listening {
    /// Binds; `tls` is used where the listener has it on.
    pub(crate) async fn bind(
        config: &ListenerConfig,
        tls: Option<&TlsServer>,
    ) -> Result<Self, BootError> {
        let fault = |source| BootError::io(format!("listener {}", config.address), source);
        let listener = TcpListener::bind(config.address).await.map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        Ok(Self {
            listener,
            tls: tls.filter(|_| config.tls).cloned(),
            address: ListenerAddress {
                address,
                tls: config.tls,
            },
        })
    }

    /// Accepts until told to stop.
    pub(crate) async fn serve(self, doorway: Doorway) {
        let mut stop = doorway.stop.clone();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            match accepted {
                Ok((stream, from)) => self.admit(stream, from.ip(), &doorway),
                Err(error) => {
                    doorway
                        .metrics
                        .connections
                        .with_label_values(&["accept_failed"])
                        .inc();
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, from: IpAddr, doorway: &Doorway) {
        let Ok(permit) = Arc::clone(&doorway.permits).try_acquire_owned() else {
            doorway
                .metrics
                .connections
                .with_label_values(&["refused"])
                .inc();
            return;
        };
        let Ok(guard) = doorway.limits.connection(Some(from)) else {
            doorway
                .metrics
                .connections
                .with_label_values(&["turned_away"])
                .inc();
            return;
        };
        doorway
            .metrics
            .connections
            .with_label_values(&["accepted"])
            .inc();
        let connection = connection(stream, self.tls.clone(), doorway.clone(), (permit, guard));
        doorway.tracker.spawn(connection);
    }
}

async fn connection(
    stream: TcpStream,
    tls: Option<TlsServer>,
    doorway: Doorway,
    _held: (OwnedSemaphorePermit, ConnectionGuard),
) {
    // Small answers must not wait for more; a socket that refuses is about to fail anyway.
    let _ = stream.set_nodelay(true);
    let mut ja4 = None;
    let stream: Stream = match tls {
        None => {
            let mut stream = L4Stream::from(stream);
            stream.set_socket_digest(SocketDigest::from_raw_fd(stream.as_raw_fd()));
            Box::new(stream)
        }
        Some(tls) => {
            let handshake = tokio::time::timeout(doorway.handshake_timeout, tls.accept(stream));
            match handshake.await {
                Ok(Ok(stream)) => {
                    ja4 = stream.ja4();
                    Box::new(stream)
                }
                Ok(Err(error)) => {
                    doorway
                        .metrics
                        .connections
                        .with_label_values(&["handshake_failed"])
                        .inc();
                    tracing::debug!(%error, "TLS handshake failed");
                    return;
                }
                Err(_) => {
                    doorway
                        .metrics
                        .connections
                        .with_label_values(&["handshake_timeout"])
                        .inc();
                    return;
                }
            }
        }
    };
    doorway.door.serve(stream, ja4).await;
}
