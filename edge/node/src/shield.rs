//! The listener for children: mTLS with the node's identity, and nobody is served whose certificate did not name him.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mcsp_edge_proxy::{ShieldDoor, ShieldListenerConfig};
use mcsp_edge_traffic::{TcpConnection, Traffic};
use mcsp_identity::{SpiffeId, WorkloadIdentity};
use pingora_core::listeners::tls::Acceptor;
use pingora_core::protocols::{Ssl as _, Stream};
use prometheus::IntCounterVec;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::boot::BootError;
use crate::config::ConnectionsConfig;
use crate::listener::{ACCEPT_PAUSE, listen};

/// A bound listener for children.
pub(crate) struct ShieldListening {
    listener: TcpListener,
    acceptor: Arc<Acceptor>,
    identity: WorkloadIdentity,
    permits: Arc<Semaphore>,
    handshake_timeout: Duration,
    pub(crate) address: SocketAddr,
}

/// What its connections are given.
#[derive(Clone)]
pub(crate) struct ShieldDoorway {
    pub(crate) door: Arc<ShieldDoor>,
    /// By what became of them.
    pub(crate) connections: IntCounterVec,
    pub(crate) traffic: Traffic,
    pub(crate) tracker: TaskTracker,
    pub(crate) stop: watch::Receiver<bool>,
}

impl ShieldDoorway {
    fn count(&self, outcome: &str) {
        self.connections.with_label_values(&[outcome]).inc();
    }
}

impl ShieldListening {
    pub(crate) fn bind(
        config: &ShieldListenerConfig,
        identity: &WorkloadIdentity,
        connections: &ConnectionsConfig,
    ) -> Result<Self, BootError> {
        let fault = |source| {
            BootError::io(
                format!("shield.listener.address {}", config.address),
                source,
            )
        };
        let tls = identity.server_config(&[b"http/1.1"])?;
        let listener = listen(config.address, connections.backlog).map_err(fault)?;
        Ok(Self {
            address: listener.local_addr().map_err(fault)?,
            listener,
            acceptor: Arc::new(Acceptor::from_server_config(tls)),
            identity: identity.clone(),
            permits: Arc::new(Semaphore::new(config.connections_max)),
            handshake_timeout: Duration::from_millis(connections.handshake_timeout_ms),
        })
    }

    /// Accepts until told to stop.
    pub(crate) async fn serve(self, doorway: ShieldDoorway) {
        let mut stop = doorway.stop.clone();
        let listening = Arc::new(self);
        loop {
            let accepted = tokio::select! {
                accepted = listening.listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    doorway.count("accept_failed");
                    tracing::warn!(%error, "a child's connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&listening.permits).try_acquire_owned() else {
                doorway.count("refused");
                continue;
            };
            let (listening, doorway) = (Arc::clone(&listening), doorway.clone());
            let tracker = doorway.tracker.clone();
            tracker.spawn(async move {
                let _permit = permit;
                let shaken = listening.shake_hands(stream);
                match tokio::time::timeout(listening.handshake_timeout, shaken).await {
                    Ok(Ok((stream, caller))) => {
                        doorway.count("accepted");
                        doorway
                            .door
                            .serve(doorway.traffic.count(stream), caller)
                            .await;
                    }
                    Ok(Err(error)) => {
                        doorway.count("handshake_failed");
                        tracing::debug!(error, "a child's TLS handshake failed");
                    }
                    Err(_) => doorway.count("handshake_timeout"),
                }
            });
        }
    }

    /// The connection, and whose it is.
    async fn shake_hands(&self, stream: TcpStream) -> Result<(Stream, SpiffeId), String> {
        // Small answers must not wait for more; a socket that refuses is about to fail anyway.
        let _ = stream.set_nodelay(true);
        let stream = self
            .acceptor
            .tls_handshake(TcpConnection::from(stream))
            .await
            .map_err(|error| error.to_string())?;
        let chain = stream.get_ssl().and_then(|tls| tls.peer_cert_chain_der());
        let caller = self
            .identity
            .peer_of(chain.unwrap_or_default())
            .map_err(|error| error.to_string())?;
        Ok((Box::new(stream), caller))
    }
}
