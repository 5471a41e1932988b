//! A process's own identity, and the TLS configurations that follow from it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};
use x509_parser::extensions::GeneralName;

use crate::files;
use crate::tls::{ReloadingIdentity, TrustedClients, TrustedServers};
use crate::{IdentityError, SpiffeId};

/// Where a process's certificate, key and authority are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityConfig {
    /// The workload's certificate chain, PEM, its own certificate first. Required.
    pub cert_file: PathBuf,
    /// The certificate's private key, PEM. Required.
    pub key_file: PathBuf,
    /// The authorities whose peers are believed, PEM. Required.
    pub ca_file: PathBuf,
}

/// What was read from the files at one time.
#[derive(Debug)]
pub(crate) struct Material {
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) id: SpiffeId,
    cert_chain_pem: String,
    key_pem: String,
    ca_pem: String,
}

/// A process's own identity. Cloning shares it: [`Self::reload`] on one is seen by all, and by every TLS
/// configuration made of it, from the next handshake on.
#[derive(Clone)]
pub struct WorkloadIdentity {
    config: Arc<IdentityConfig>,
    material: Arc<ArcSwap<Material>>,
}

impl WorkloadIdentity {
    /// Reads and checks the files: the key fits the certificate, the certificate has one SPIFFE name, the authority
    /// is there.
    ///
    /// # Errors
    /// When a file cannot be read or what it holds cannot be used.
    pub fn load(config: &IdentityConfig) -> Result<Self, IdentityError> {
        Ok(Self {
            config: Arc::new(config.clone()),
            material: Arc::new(ArcSwap::from_pointee(read_material(config)?)),
        })
    }

    /// Reads the files again. New handshakes use what was found; connections that are open stay.
    ///
    /// # Errors
    /// When a file cannot be read or used, or names another workload; what was in force then stays in force.
    pub fn reload(&self) -> Result<(), IdentityError> {
        let fresh = read_material(&self.config)?;
        let current = self.spiffe_id();
        if fresh.id != current {
            return Err(IdentityError::material(
                &self.config.cert_file,
                format!(
                    "is for {}, but this process is {current}; a change of name needs a restart",
                    fresh.id
                ),
            ));
        }
        self.material.store(Arc::new(fresh));
        Ok(())
    }

    /// The process's own name.
    #[must_use]
    pub fn spiffe_id(&self) -> SpiffeId {
        self.material.load().id.clone()
    }

    /// For servers: TLS 1.3 only, a client certificate required, from our authority, with one SPIFFE name of our
    /// trust domain. `alpn` in order of preference (RFC 7301), such as `[b"h2", b"http/1.1"]`.
    ///
    /// # Errors
    /// When rustls refuses the provider or the authority.
    pub fn server_config(&self, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, IdentityError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(TrustedClients::new(
                Arc::clone(&self.material),
                provider,
            )?))
            .with_cert_resolver(Arc::new(ReloadingIdentity(Arc::clone(&self.material))));
        // A resumed session is believed for what its first handshake showed; after a reload that is out of date.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// For clients: TLS 1.3 only, the server's certificate from our authority, for the name that was asked for, with
    /// one SPIFFE name of our trust domain; our own certificate is presented.
    ///
    /// # Errors
    /// When rustls refuses the provider or the authority.
    pub fn client_config(&self, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, IdentityError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])?
            .dangerous() // The verifier below is rustls' own with one condition more.
            .with_custom_certificate_verifier(Arc::new(TrustedServers::new(
                Arc::clone(&self.material),
                provider,
            )?))
            .with_client_cert_resolver(Arc::new(ReloadingIdentity(Arc::clone(&self.material))));
        config.resumption = Resumption::disabled();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// The name in a peer's verified chain.
    ///
    /// # Errors
    /// When the chain is empty, or its first certificate does not have exactly one URI SAN, a SPIFFE name of our
    /// trust domain.
    pub fn peer_of(&self, chain: &[CertificateDer<'_>]) -> Result<SpiffeId, IdentityError> {
        let first = chain
            .first()
            .ok_or_else(|| IdentityError::PeerCertificate("there is none".to_owned()))?;
        peer_in_domain(first, self.material.load().id.trust_domain())
    }

    /// The certificate chain as PEM, for servers that read it themselves.
    #[must_use]
    pub fn cert_chain_pem(&self) -> String {
        self.material.load().cert_chain_pem.clone()
    }

    /// The private key as PEM. Never log it.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.material.load().key_pem.clone()
    }

    /// The authorities as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.material.load().ca_pem.clone()
    }

    /// The files this identity was read from.
    #[must_use]
    pub fn config(&self) -> &IdentityConfig {
        &self.config
    }
}

impl fmt::Debug for WorkloadIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkloadIdentity")
            .field("spiffe_id", &self.spiffe_id().to_string())
            .finish_non_exhaustive()
    }
}

fn read_material(config: &IdentityConfig) -> Result<Material, IdentityError> {
    let cert_chain_pem = files::read(&config.cert_file)?;
    let key_pem = files::read(&config.key_file)?;
    let ca_pem = files::read(&config.ca_file)?;
    let chain =
        certificates(&cert_chain_pem).map_err(|e| IdentityError::material(&config.cert_file, e))?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|e| {
        IdentityError::material(&config.key_file, format!("expected a PEM private key: {e}"))
    })?;
    let mut roots = RootCertStore::empty();
    for ca in certificates(&ca_pem).map_err(|e| IdentityError::material(&config.ca_file, e))? {
        roots
            .add(ca)
            .map_err(|e| IdentityError::material(&config.ca_file, e.to_string()))?;
    }
    let id = match chain.first() {
        Some(first) => spiffe_name(first)
            .map_err(|e| IdentityError::material(&config.cert_file, e.to_string()))?,
        None => {
            return Err(IdentityError::material(
                &config.cert_file,
                "expected a PEM certificate",
            ));
        }
    };
    let certified =
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|e| {
            IdentityError::material(
                &config.key_file,
                format!("does not fit the certificate: {e}"),
            )
        })?;
    Ok(Material {
        certified: Arc::new(certified),
        roots: Arc::new(roots),
        id,
        cert_chain_pem,
        key_pem,
        ca_pem,
    })
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| format!("expected PEM certificates: {e}"))?;
    if found.is_empty() {
        return Err("expected at least one PEM certificate, found none".to_owned());
    }
    Ok(found)
}

/// The name of a peer, if it belongs to `trust_domain`.
pub(crate) fn peer_in_domain(
    cert: &CertificateDer<'_>,
    trust_domain: &str,
) -> Result<SpiffeId, IdentityError> {
    let id = spiffe_name(cert)?;
    if id.trust_domain() != trust_domain {
        return Err(IdentityError::PeerCertificate(format!(
            "{id} is not of the trust domain {trust_domain}"
        )));
    }
    Ok(id)
}

/// The one URI SAN of a leaf certificate (X509-SVID sections 2 and 4.1).
fn spiffe_name(cert: &CertificateDer<'_>) -> Result<SpiffeId, IdentityError> {
    let refuse = |reason: &str| IdentityError::PeerCertificate(reason.to_owned());
    let (_, parsed) = x509_parser::parse_x509_certificate(cert)
        .map_err(|_| refuse("is not an X.509 certificate"))?;
    if parsed.is_ca() {
        return Err(refuse("is an authority's, not a workload's"));
    }
    let names = parsed
        .subject_alternative_name()
        .map_err(|_| refuse("has unreadable alternative names"))?;
    let mut uris = names
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Ok(SpiffeId::parse(uri)?),
        (None, _) => Err(refuse(
            "names no workload: it has no URI among its alternative names",
        )),
        (Some(_), Some(_)) => Err(refuse("names more than one workload")),
    }
}
