//! What tests of services need to speak as someone: identities issued on the spot, and requests as an edge sends them.

use std::path::Path;

use http::Request;
use http::header::HeaderValue;
use mcsp_api::{ViewerIdentity, headers};
use mcsp_identity::{
    EDGE_NAMESPACE, IdentityError, LocalCa, Peer, SpiffeId, TRUST_DOMAIN_DEFAULT, WorkloadIdentity,
};

/// An identity `{namespace}/{account}` of the authority in `dir`, which is made when it is not there.
///
/// # Errors
/// When a name is malformed or a file cannot be written.
pub fn issue(
    dir: &Path,
    namespace: &str,
    account: &str,
) -> Result<WorkloadIdentity, IdentityError> {
    let id = SpiffeId::new(TRUST_DOMAIN_DEFAULT, namespace, account)?;
    let ca = LocalCa::create_or_open(&dir.join("ca"))?;
    let files = ca.issue(&id, &[], &dir.join(namespace).join(account))?;
    WorkloadIdentity::load(&files.config())
}

/// Makes `request` one that the PoP `pop` sent for `viewer` (or for nobody).
///
/// # Errors
/// When `pop` is not a DNS label.
pub fn as_edge<B>(
    mut request: Request<B>,
    pop: &str,
    viewer: Option<&ViewerIdentity>,
) -> Result<Request<B>, IdentityError> {
    let id = SpiffeId::new(TRUST_DOMAIN_DEFAULT, EDGE_NAMESPACE, pop)?;
    request.extensions_mut().insert(Peer(id));
    // base64url is always a header value.
    if let Some(value) =
        viewer.and_then(|viewer| HeaderValue::try_from(viewer.to_header_value()).ok())
    {
        request.headers_mut().insert(headers::IDENTITY, value);
    }
    Ok(request)
}
