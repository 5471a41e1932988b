//! How an origin is spoken to: TLS with our certificate, its own checked against our authority and its name.

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

use super::Lease;
use crate::config::UpstreamConfig;

/// Why the node's identity cannot be presented to origins.
#[derive(Debug, Error)]
#[error("identity: {0}")]
pub(crate) struct PeerIdentityError(String);

/// The node's certificate, key and authority in the form that pingora takes.
pub(crate) struct PeerIdentity {
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
    pub(crate) fn new(identity: &WorkloadIdentity, group: u64) -> Result<Self, PeerIdentityError> {
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

    /// The peer behind a lease. It always has a name: pingora verifies nothing of a peer without one.
    pub(crate) fn peer(&self, lease: &Lease, config: &UpstreamConfig) -> Option<HttpPeer> {
        let name = lease.pool().server_name();
        if name.is_empty() {
            return None;
        }
        let mut peer =
            HttpPeer::new_mtls(lease.socket()?, name.to_owned(), Arc::clone(&self.cert_key));
        peer.group_key = self.group;
        let ms = Duration::from_millis;
        let options = &mut peer.options;
        options.ca = Some(Arc::clone(&self.ca));
        options.verify_cert = true;
        options.verify_hostname = true;
        options.alpn = ALPN::H1;
        options.connection_timeout = Some(ms(config.connect_timeout_ms));
        options.total_connection_timeout = Some(ms(config.connect_timeout_ms.saturating_mul(2)));
        options.read_timeout = Some(ms(config.read_timeout_ms));
        options.write_timeout = Some(ms(config.write_timeout_ms));
        options.idle_timeout = Some(ms(config.idle_timeout_ms));
        options.http_upstream_request_policy = HttpUpstreamRequestPolicy::deny_upgrades();
        Some(peer)
    }
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
