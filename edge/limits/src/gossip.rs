//! Carries the [`Exchange`]'s messages between the nodes of a PoP: mutual TLS in which both sides bear the PoP's own name,
//! one connection from each node to each other, messages one after the other, each after its length (four bytes,
//! big-endian).
//!
//! Nothing is queued for a node that does not listen: it misses what it misses, as it would if it were gone.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mcsp_identity::{Dialer, IdentityError, WorkloadIdentity};
use mcsp_runtime::Shutdown;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::exchange::{Exchange, ExchangeError, MESSAGE_BYTES_MAX};

/// What the protocol is called in a handshake (RFC 7301).
const ALPN: &[u8] = b"mcsp-limits/1";
/// Messages that a connection may be behind.
const BEHIND_MAX: usize = 2;
const CONNECTIONS_MAX: usize = 128;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// A node that speaks faster is listened to no faster.
const PAUSE: Duration = Duration::from_millis(5);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why nodes cannot hear each other.
#[derive(Debug, Error)]
pub enum GossipError {
    /// The node's identity cannot be used.
    #[error("{0}")]
    Identity(#[from] IdentityError),
    /// The name that the PoP's nodes bear is none.
    #[error("the name in the other nodes' certificates, {0:?}, is no host name")]
    Name(String),
}

/// One node's ears and mouth.
pub struct Gossip {
    exchange: Arc<Exchange>,
    identity: WorkloadIdentity,
    acceptor: TlsAcceptor,
    dialers: Vec<Dialer>,
    interval: Duration,
    silence: Duration,
}

impl Gossip {
    /// Between this node and those that listen at `peers` (`host:port`); `server_name` is in all their certificates.
    ///
    /// # Errors
    /// When the identity or the name cannot be used.
    pub fn new(
        exchange: Arc<Exchange>,
        identity: &WorkloadIdentity,
        server_name: &str,
        peers: &[String],
        interval: Duration,
        silence: Duration,
    ) -> Result<Self, GossipError> {
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|_| GossipError::Name(server_name.to_owned()))?;
        let dialer = |peer: &String| Dialer::new(identity, peer, name.clone(), &[ALPN]);
        Ok(Self {
            exchange,
            identity: identity.clone(),
            acceptor: TlsAcceptor::from(identity.server_config(&[ALPN])?),
            dialers: peers.iter().map(dialer).collect::<Result<_, _>>()?,
            interval,
            silence,
        })
    }

    /// Speaks and, given a listener, listens until told to stop.
    pub async fn run(self, listener: Option<TcpListener>, shutdown: Shutdown) {
        let gossip = Arc::new(self);
        let mut tasks = JoinSet::new();
        let (sender, _) = broadcast::channel(BEHIND_MAX);
        for dialer in gossip.dialers.clone() {
            tasks.spawn(speak(dialer, sender.subscribe()));
        }
        if let Some(listener) = listener {
            tasks.spawn(Arc::clone(&gossip).listen(listener));
        }
        let mut ticks = interval(gossip.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                // Dropping the tasks ends them.
                () = shutdown.wait() => return,
            }
            let message: Arc<[u8]> = gossip.exchange.take_deltas().into();
            // Without a peer nobody listens, which is no failure.
            let _ = sender.send(message);
        }
    }

    async fn listen(self: Arc<Self>, listener: TcpListener) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            // Bounds what is kept of connections that have ended.
            while connections.try_join_next().is_some() {}
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a node of the PoP could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
                continue;
            };
            let gossip = Arc::clone(&self);
            connections.spawn(async move {
                let heard = gossip.hear(stream).await;
                drop(permit);
                if let Err(error) = heard {
                    tracing::debug!(%error, "a node of the PoP is not listened to any more");
                }
            });
        }
    }

    async fn hear(&self, stream: TcpStream) -> io::Result<()> {
        let mut stream = timeout(CONNECT_TIMEOUT, self.acceptor.accept(stream)).await??;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let peer = self.identity.peer_of(chain).map_err(io::Error::other)?;
        if peer != self.identity.spiffe_id() {
            tracing::warn!(%peer, "somebody who is no node of this PoP wanted to tell its limits");
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mut message = Vec::new();
        while timeout(self.silence, read_message(&mut stream, &mut message)).await?? {
            match self.exchange.apply(&message) {
                Ok(_) => {}
                // A later version's nodes are told what this one counts, and not listened to.
                Err(ExchangeError::Version(version)) => {
                    tracing::debug!(version, "a node of the PoP speaks a later form");
                }
                Err(error @ ExchangeError::Own(_)) => {
                    tracing::warn!(%error, "two nodes of the PoP need two names");
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }
}

/// Tells one node what there is to tell, from the moment on when it listens.
async fn speak(dialer: Dialer, mut messages: broadcast::Receiver<Arc<[u8]>>) {
    let mut pause = RETRY_MIN;
    loop {
        match timeout(CONNECT_TIMEOUT, dialer.dial()).await {
            Ok(Ok(mut stream)) => {
                pause = RETRY_MIN;
                // What was to be told before is old.
                messages = messages.resubscribe();
                match tell(&mut stream, &mut messages).await {
                    Ok(()) => return,
                    Err(error) => tracing::debug!(%error, ?dialer, "a node of the PoP went away"),
                }
            }
            Ok(Err(error)) => tracing::debug!(%error, ?dialer, "a node of the PoP does not listen"),
            Err(_) => tracing::debug!(?dialer, "a node of the PoP does not answer"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(RETRY_MAX);
    }
}

/// Until there is nobody to tell, or nothing any more.
async fn tell(
    stream: &mut (impl AsyncWrite + Unpin),
    messages: &mut broadcast::Receiver<Arc<[u8]>>,
) -> io::Result<()> {
    loop {
        let message = match messages.recv().await {
            Ok(message) => message,
            Err(broadcast::error::RecvError::Lagged(_)) => continue,
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        };
        timeout(WRITE_TIMEOUT, write_message(stream, &message)).await??;
    }
}

async fn write_message(stream: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(message).await?;
    stream.flush().await
}

/// False: the other side has ended, between two messages.
async fn read_message(
    stream: &mut (impl AsyncRead + Unpin),
    message: &mut Vec<u8>,
) -> io::Result<bool> {
    let mut length = [0; 4];
    if stream.read(&mut length[..1]).await? == 0 {
        return Ok(false);
    }
    stream.read_exact(&mut length[1..]).await?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a message that is too long",
        ));
    }
    message.resize(length, 0);
    stream.read_exact(message).await?;
    Ok(true)
}
