//! Connections to another process of ours.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{IdentityError, WorkloadIdentity};

/// Opens connections to one server: TLS 1.3, certificates on both sides, its name checked. Cloning shares the TLS
/// configuration.
#[derive(Clone)]
pub struct Dialer {
    address: Arc<str>,
    server_name: ServerName<'static>,
    tls: TlsConnector,
}

impl Dialer {
    /// For the server at `address` (`host:port`) whose certificate must bear `server_name`; `alpn` in order of
    /// preference (RFC 7301).
    ///
    /// # Errors
    /// When the identity cannot be used.
    pub fn new(
        identity: &WorkloadIdentity,
        address: &str,
        server_name: ServerName<'static>,
        alpn: &[&[u8]],
    ) -> Result<Self, IdentityError> {
        Ok(Self {
            address: address.into(),
            server_name,
            tls: TlsConnector::from(identity.client_config(alpn)?),
        })
    }

    /// A new connection, after its handshake. Has no timeout of its own: callers bound it together with what comes
    /// after it.
    ///
    /// # Errors
    /// When the address does not resolve or answer, or either side refuses the other's certificate.
    pub async fn dial(&self) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(&*self.address).await?;
        stream.set_nodelay(true)?;
        self.tls.connect(self.server_name.clone(), stream).await
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer")
            .field("address", &self.address)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}
