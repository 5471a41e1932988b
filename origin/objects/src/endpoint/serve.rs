//! Serves the endpoint over mutual TLS.

use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use mcsp_identity::{CallerTable, Peer, WorkloadIdentity};
use mcsp_rpc::{PeerListener, RpcError};
use mcsp_runtime::Shutdown;
use tokio::net::TcpListener;
use tower::ServiceBuilder;

use super::S3Endpoint;

/// The endpoint's name in the caller table.
const INTERFACE: &str = "s3";

/// In the extensions of requests whose caller is not in the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refused;

impl S3Endpoint {
    /// Serves over TLS with client certificates until `shutdown`, then drains for at most
    /// [`EndpointConfig::drain_timeout_ms`](super::EndpointConfig::drain_timeout_ms). A caller that the table does not
    /// let use `s3` in this process's region gets 403.
    ///
    /// # Errors
    /// When a limit is out of its range, the identity gives no TLS configuration, or the listener is not one.
    pub async fn serve(
        &self,
        listener: TcpListener,
        identity: WorkloadIdentity,
        callers: CallerTable,
        shutdown: Shutdown,
    ) -> Result<(), RpcError> {
        let region = identity.spiffe_id().namespace().to_owned();
        let peers = PeerListener::new(identity, self.config.listener())?;
        let service = ServiceBuilder::new()
            .map_request(move |request: Request<Incoming>| {
                let mut request = request.map(Body::new);
                if !is_allowed(&request, &callers, &region) {
                    request.extensions_mut().insert(Refused);
                }
                request
            })
            .service(self.router());
        peers.serve(listener, service, shutdown).await
    }
}

fn is_allowed(request: &Request<Body>, callers: &CallerTable, region: &str) -> bool {
    let Some(Peer(caller)) = request.extensions().get() else {
        return false;
    };
    let is_allowed = callers.allows(caller, region, INTERFACE);
    if !is_allowed {
        tracing::warn!(%caller, "the caller table has no line for this caller");
    }
    is_allowed
}
