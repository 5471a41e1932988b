//! Whose connection it is, where a load balancer passes it on: read from its PROXY header, before anything else is.

use std::io;
use std::net::SocketAddr;

use ipnet::IpNet;
use mcsp_edge_fingerprint::{PROXIED_BYTES_MAX, Proxied, ProxiedError, ProxiedStep, proxied};
use thiserror::Error;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::config::{ListenerConfig, ProxyProtocol};

/// Who may say whose a connection is.
#[derive(Debug, Clone)]
pub(crate) struct Sources(Vec<IpNet>);

impl Sources {
    /// Absent where connections are the clients' own.
    pub(crate) fn of(config: &ListenerConfig) -> Option<Self> {
        (config.proxy_protocol == ProxyProtocol::Required)
            .then(|| Self(config.proxy_sources.clone()))
    }

    /// Is it one of them?
    pub(crate) fn are_trusted(&self, from: SocketAddr) -> bool {
        let address = from.ip().to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Why nobody knows whose a connection is.
#[derive(Debug, Error)]
pub(crate) enum HeaderError {
    #[error("{0}")]
    Header(#[from] ProxiedError),
    #[error("the PROXY header broke off: {0}")]
    Io(#[from] io::Error),
}

/// Reads the header and nothing behind it; the client, if the connection is not the sender's own.
pub(crate) async fn read(stream: &mut TcpStream) -> Result<Option<SocketAddr>, HeaderError> {
    let mut bytes = Vec::with_capacity(64);
    loop {
        match proxied(&bytes)? {
            ProxiedStep::Done(Proxied::Own) => return Ok(None),
            ProxiedStep::Done(Proxied::Client { client, .. }) => {
                let canonical = SocketAddr::new(client.ip().to_canonical(), client.port());
                return Ok(Some(canonical));
            }
            ProxiedStep::More(more) => {
                let begun = bytes.len();
                let end = (begun + more).min(PROXIED_BYTES_MAX);
                bytes.resize(end, 0);
                let room = bytes.get_mut(begun..).unwrap_or_default();
                stream.read_exact(room).await?;
            }
        }
    }
}
