//! TLS as a user's browser has it.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::failure::NetworkError;

/// Settings for a user of HTTP/1.1 and one of HTTP/2, shared by all users.
#[derive(Debug, Clone)]
pub(crate) struct TlsSettings {
    pub(crate) h1: Arc<ClientConfig>,
    pub(crate) h2: Arc<ClientConfig>,
}

impl TlsSettings {
    /// Trusts the system's authorities, and those in `ca_file`.
    pub(crate) fn new(ca_file: Option<&Path>) -> Result<Self, NetworkError> {
        let mut roots = RootCertStore::empty();
        // A system without authorities, or with broken ones, has those of the file.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = ca_file {
            add_file(&mut roots, path)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut h1 = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Users do not know each other's tickets: a shared store would spare nodes handshakes that real users cost them.
        h1.resumption = Resumption::disabled();
        let mut h2 = h1.clone();
        h1.alpn_protocols = vec![b"http/1.1".to_vec()];
        h2.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            h1: Arc::new(h1),
            h2: Arc::new(h2),
        })
    }
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), NetworkError> {
    let name = || path.display().to_string();
    let pem = std::fs::read(path).map_err(|source| NetworkError::CaFile {
        path: name(),
        source,
    })?;
    let bad = |detail: String| NetworkError::Authorities {
        path: name(),
        detail,
    };
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| bad(error.to_string()))?;
        count += 1;
    }
    if count == 0 {
        return Err(bad("there is none".to_owned()));
    }
    Ok(())
}
