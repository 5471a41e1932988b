//! Workload identity: the certificate authority of one machine, SPIFFE names, and who may call whom.
//!
//! Every process holds one certificate whose URI SAN is its SPIFFE name. Connections between processes are TLS 1.3
//! with certificates on both sides, issued by our own authority only, and what a peer may do is looked up in the
//! [`CallerTable`] by that name.

mod callers;
mod dial;
mod error;
mod files;
mod local_ca;
mod spiffe;
mod tls;
mod workload;

pub use callers::{CallerTable, CallerTableError};
pub use dial::Dialer;
pub use error::{IdentityError, IdentityErrorKind};
pub use local_ca::{IdentityFiles, LocalCa, VALIDITY_DAYS_DEFAULT};
pub use spiffe::{DNS_SUFFIX, EDGE_NAMESPACE, SpiffeId, SpiffeIdError, TRUST_DOMAIN_DEFAULT};
pub use workload::{IdentityConfig, WorkloadIdentity};

/// The verified name of whoever is at the other end of a connection; every mTLS server puts it in the extensions of
/// each request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer(pub SpiffeId);

impl Peer {
    /// Is the peer an edge node? Only such a peer is believed about viewers.
    #[must_use]
    pub fn is_edge(&self) -> bool {
        self.0.namespace() == EDGE_NAMESPACE
    }
}
