//! A gRPC connection to an origin, both sides with certificates.

use std::time::Duration;

use hyper_util::rt::TokioIo;
use mcsp_identity::{Dialer, IdentityError, WorkloadIdentity};
use rustls::pki_types::ServerName;
use thiserror::Error;
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
    let dialer = Dialer::new(identity, address, name, &[b"h2"])?;
    let connector = service_fn(move |_uri| {
        let dialer = dialer.clone();
        async move { dialer.dial().await.map(TokioIo::new) }
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
