//! A gRPC connection to an origin, both sides with certificates.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use mcsp_identity::{IdentityError, WorkloadIdentity};
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// How often an idle connection is asked for a sign of life, and how long that may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(5));

/// Why there is no connection. Another try may succeed, on another address or later.
#[derive(Debug, Error)]
pub(crate) enum ConnectError {
    #[error("{0:?} is not a server name")]
    ServerName(String),
    #[error("identity: {0}")]
    Identity(#[from] IdentityError),
    #[error("{0}")]
    Transport(#[from] tonic::transport::Error),
    #[error("no connection within {0} ms")]
    Timeout(u128),
}

/// Connects to `address` (`host:port`), whose certificate must be for `server_name`.
pub(crate) async fn connect(
    address: &str,
    server_name: &str,
    identity: &WorkloadIdentity,
    timeout: Duration,
) -> Result<Channel, ConnectError> {
    let name = ServerName::try_from(server_name.to_owned())
        .map_err(|_| ConnectError::ServerName(server_name.to_owned()))?;
    let tls = TlsConnector::from(identity.client_config(&[b"h2"])?);
    let address = Arc::<str>::from(address);
    let connector = service_fn(move |_uri| {
        let (tls, name, address) = (tls.clone(), name.clone(), Arc::clone(&address));
        async move {
            let stream = TcpStream::connect(&*address).await?;
            stream.set_nodelay(true)?;
            Ok::<_, std::io::Error>(TokioIo::new(tls.connect(name, stream).await?))
        }
    });
    // The scheme says nothing of TLS here: the connector does it.
    let endpoint = Endpoint::from_shared(format!("http://{server_name}"))?
        .http2_keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .keep_alive_while_idle(true);
    match tokio::time::timeout(timeout, endpoint.connect_with_connector(connector)).await {
        Ok(channel) => Ok(channel?),
        Err(_) => Err(ConnectError::Timeout(timeout.as_millis())),
    }
}
