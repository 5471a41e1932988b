//! How an upstream is spoken to: over mTLS, its certificate checked against our authority and its name, or in clear.

use std::sync::Arc;
use std::time::Duration;

use mcsp_identity::WorkloadIdentity;
use pingora_core::protocols::ALPN;
use pingora_core::protocols::tls::CaType;
use pingora_core::upstreams::peer::{HttpPeer, HttpUpstreamRequestPolicy};
use pingora_core::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

use crate::Lease;

/// Why the node's identity cannot be presented to upstreams.
#[derive(Debug, Error)]
#[error("identity: {0}")]
pub struct PeerIdentityError(String);

/// How long a connection is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerTimeouts {
    /// TCP, and TLS on top of it, ms each.
    pub connect_ms: u64,
    /// Between two reads, ms.
    pub read_ms: u64,
    /// Between two writes, ms.
    pub write_ms: u64,
    /// How long an idle connection is kept, ms.
    pub idle_ms: u64,
}

/// The node's certificate, key and authority in the form that pingora takes.
pub struct PeerIdentity {
    cert_key: Arc<CertKey>,
    ca: Arc<CaType>,
    /// Connections made with one identity are not reused with another.
    group: u64,
}

impl std::fmt::Debug for PeerIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerIdentity")
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

impl PeerIdentity {
    /// The identity as pingora takes it; `group` tells identities apart and rises.
    ///
    /// # Errors
    /// When the certificates or the key do not parse, or there is none.
    pub fn new(identity: &WorkloadIdentity, group: u64) -> Result<Self, PeerIdentityError> {
        let chain = certificates(&identity.cert_chain_pem())?;
        let authorities = certificates(&identity.ca_pem())?;
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem().as_bytes())
            .map_err(|error| PeerIdentityError(format!("private key: {error}")))?;
        let ca: Vec<WrappedX509> = authorities
            .into_iter()
            .map(|der| WrappedX509::new(der, parse_x509))
            .collect();
        Ok(Self {
            cert_key: Arc::new(CertKey::new(chain, key.secret_der().to_vec())),
            ca: Arc::from(ca),
            group,
        })
    }

    /// The peer behind a lease. It always has a name: pingora verifies nothing of a peer without one, so without a name
    /// there is no peer.
    #[must_use]
    pub fn peer(&self, lease: &Lease, timeouts: &PeerTimeouts) -> Option<HttpPeer> {
        let name = lease.server_name();
        if name.is_empty() {
            return None;
        }
        let mut peer =
            HttpPeer::new_mtls(lease.socket(), name.to_owned(), Arc::clone(&self.cert_key));
        peer.group_key = self.group;
        peer.options.ca = Some(Arc::clone(&self.ca));
        peer.options.verify_cert = true;
        peer.options.verify_hostname = true;
        set_common(&mut peer, timeouts);
        Some(peer)
    }
}

/// The peer behind a lease, in clear.
#[must_use]
pub fn plain_peer(lease: &Lease, timeouts: &PeerTimeouts) -> HttpPeer {
    let mut peer = HttpPeer::new(lease.socket(), false, String::new());
    set_common(&mut peer, timeouts);
    peer
}

fn set_common(peer: &mut HttpPeer, timeouts: &PeerTimeouts) {
    let ms = Duration::from_millis;
    let options = &mut peer.options;
    options.alpn = ALPN::H1;
    options.connection_timeout = Some(ms(timeouts.connect_ms));
    options.total_connection_timeout = Some(ms(timeouts.connect_ms.saturating_mul(2)));
    options.read_timeout = Some(ms(timeouts.read_ms));
    options.write_timeout = Some(ms(timeouts.write_ms));
    options.idle_timeout = Some(ms(timeouts.idle_ms));
    options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
}

/// Certificates that are known to parse: pingora's own parser panics on others.
fn certificates(pem: &str) -> Result<Vec<Vec<u8>>, PeerIdentityError> {
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let der =
            certificate.map_err(|error| PeerIdentityError(format!("certificate: {error}")))?;
        x509_parser::parse_x509_certificate(&der)
            .map_err(|error| PeerIdentityError(format!("certificate: {error}")))?;
        found.push(der.to_vec());
    }
    if found.is_empty() {
        return Err(PeerIdentityError("no certificate".to_owned()));
    }
    Ok(found)
}
