//! Listeners for viewers: accept, TLS, then the proxy. Our own loop rather than pingora's, which can neither say which
//! port it got nor leave signals and drain to the node.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mcsp_edge_limits::{ConnectionGuard, Limits, Turns};
use mcsp_edge_proxy::Door;
use mcsp_edge_tls::{TlsServer, digest_of_client};
use mcsp_edge_traffic::TcpConnection;
use pingora_core::protocols::Stream;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::addresses::ListenerAddress;
use crate::boot::BootError;
use crate::config::{ConnectionsConfig, ListenerConfig};
use crate::lobby::{self, Lobby};
use crate::metrics::NodeMetrics;
use crate::proxied::{self, Sources};

/// How long accepting pauses when the process is out of file descriptors.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What it costs to take a connection and to hear what its client says first, about; a flood has hundreds waiting.
const ACCEPT_COST: Duration = Duration::from_micros(50);

/// What all listeners share.
#[derive(Clone)]
pub(crate) struct Doorway {
    pub(crate) door: Arc<Door>,
    permits: Arc<Semaphore>,
    limits: Arc<Limits>,
    turns: Arc<Turns>,
    lobby: Lobby,
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
        turns: Arc<Turns>,
        metrics: NodeMetrics,
        tracker: TaskTracker,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            door,
            permits: Arc::new(Semaphore::new(config.max)),
            limits,
            lobby: Lobby::open(lobby::ROOM, lobby::HOLD, Arc::clone(&turns)),
            turns,
            handshake_timeout: Duration::from_millis(config.handshake_timeout_ms),
            metrics,
            tracker,
            stop,
        }
    }

    fn count(&self, outcome: &str) {
        let connections = &self.metrics.connections;
        connections.with_label_values(&[outcome]).inc();
    }

    /// Counts a connection of a client.
    fn admit(&self, client: IpAddr) -> Option<ConnectionGuard> {
        let guard = self.limits.connection(Some(client)).ok();
        self.count(match guard {
            Some(_) => "accepted",
            None => "turned_away",
        });
        guard
    }
}

/// Binds a socket that keeps so many connections in line until they are accepted. The standard library's keeps 128: of a crowd
/// that comes at once, such as when a neighbouring node ends, most would come in a second later.
///
/// # Errors
/// When the address cannot be bound.
pub(crate) fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // As the standard library does: a node that is started again finds its address free.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

/// A bound listener.
pub(crate) struct Listening {
    listener: TcpListener,
    tls: Option<TlsServer>,
    /// Load balancers that stand before it.
    sources: Option<Sources>,
    pub(crate) address: ListenerAddress,
}

impl Listening {
    /// Binds; `tls` is used where the listener has it on.
    pub(crate) fn bind(
        config: &ListenerConfig,
        backlog: u32,
        tls: Option<&TlsServer>,
    ) -> Result<Self, BootError> {
        let fault = |source| BootError::io(format!("listener {}", config.address), source);
        let listener = listen(config.address, backlog).map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        Ok(Self {
            listener,
            tls: tls.filter(|_| config.tls).cloned(),
            sources: Sources::of(config),
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
            doorway.turns.newcomer().await;
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            doorway.turns.spent(ACCEPT_COST);
            match accepted {
                Ok((stream, from)) => self.admit(stream, from, &doorway),
                Err(error) => {
                    doorway.count("accept_failed");
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, from: SocketAddr, doorway: &Doorway) {
        let Ok(permit) = Arc::clone(&doorway.permits).try_acquire_owned() else {
            return doorway.count("refused");
        };
        let Some(sources) = &self.sources else {
            let Some(guard) = doorway.admit(from.ip()) else {
                return doorway.lobby.hold(stream);
            };
            let tls = self.tls.clone();
            let connection = connection(stream, from, tls, doorway.clone(), (permit, guard));
            doorway.tracker.spawn(connection);
            return;
        };
        // Whoever else says whose a connection is could say anything.
        if !sources.are_trusted(from) {
            return doorway.count("untrusted");
        }
        let passed_on = passed_on(stream, from, self.tls.clone(), doorway.clone(), permit);
        doorway.tracker.spawn(passed_on);
    }
}

/// A connection that a load balancer passes on: whose it is, and then the same as all others.
async fn passed_on(
    mut stream: TcpStream,
    from: SocketAddr,
    tls: Option<TlsServer>,
    doorway: Doorway,
    permit: OwnedSemaphorePermit,
) {
    let reading = proxied::read(&mut stream);
    let client = match tokio::time::timeout(doorway.handshake_timeout, reading).await {
        // The load balancer's own is its own.
        Ok(Ok(client)) => client.unwrap_or(from),
        Ok(Err(error)) => {
            doorway.count("proxy_header_failed");
            tracing::debug!(%error, %from, "a load balancer's connection without a client");
            return;
        }
        Err(_) => return doorway.count("proxy_header_timeout"),
    };
    match doorway.admit(client.ip()) {
        Some(guard) => connection(stream, client, tls, doorway, (permit, guard)).await,
        None => doorway.lobby.hold(stream),
    }
}

/// Serves a connection of `client`, as a load balancer says, or the system said when it was accepted: of a client that has asked
/// for something and is gone already, the socket does not tell any more.
async fn connection(
    stream: TcpStream,
    client: SocketAddr,
    tls: Option<TlsServer>,
    doorway: Doorway,
    _held: (OwnedSemaphorePermit, ConnectionGuard),
) {
    // Small answers must not wait for more; a socket that refuses is about to fail anyway.
    let _ = stream.set_nodelay(true);
    let clients = &doorway.metrics.clients;
    let mut ja4 = None;
    let stream: Stream = match tls {
        None => {
            let digest = digest_of_client(&stream, client);
            clients.count_unboxed(TcpConnection::new(stream, digest))
        }
        Some(tls) => {
            let timeout = doorway.handshake_timeout;
            // In a box of its own, as all that a connection seldom needs: it would take room in the task for as long as that lives.
            match Box::pin(tls.accept(stream, Some(client.ip()), timeout)).await {
                Ok(stream) => {
                    ja4 = stream.ja4();
                    clients.count_unboxed(stream.of_client(client))
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return doorway.count("handshake_timeout");
                }
                Err(error) => {
                    doorway.count("handshake_failed");
                    tracing::debug!(%error, "TLS handshake failed");
                    return;
                }
            }
        }
    };
    doorway.door.serve(stream, ja4).await;
}
