//! The certificates in force.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ServerConfig};

use crate::files::{self, Loaded};
use crate::names::Names;
use crate::reload::{Stamps, stamps};
use crate::{TlsConfig, TlsError, TlsVersion};

/// Certificates by name; shared by every listener, replaced as a whole.
#[derive(Debug)]
pub struct CertificateStore {
    pub(crate) config: TlsConfig,
    /// How the files looked just before they were first read, so that no later change is missed.
    pub(crate) opened: Stamps,
    names: ArcSwap<Names>,
}

impl CertificateStore {
    /// Reads every certificate that `config` names. Blocks.
    ///
    /// # Errors
    /// When a value is out of range, or a file cannot be read or used.
    pub fn open(config: TlsConfig) -> Result<Arc<Self>, TlsError> {
        config.validate()?;
        let opened = stamps(&config);
        let names = ArcSwap::from_pointee(read_all(&config)?);
        Ok(Arc::new(Self {
            config,
            opened,
            names,
        }))
    }

    /// Reads the files again; handshakes from now on use what was found, connections that are open stay. Blocks.
    ///
    /// # Errors
    /// When any file cannot be read or used; what was in force stays in force then.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.names.store(Arc::new(read_all(&self.config)?));
        Ok(())
    }
}

fn read_all(config: &TlsConfig) -> Result<Names, TlsError> {
    let loaded = config
        .certificates
        .iter()
        .map(files::load)
        .collect::<Result<Vec<Loaded>, _>>()?;
    let Some(first) = loaded.first() else {
        return Err(TlsError::config("certificates", 0, "1 to 1000 entries"));
    };
    let mut names = Names::new(Arc::clone(&first.certified));
    for one in &loaded {
        names.add(&one.names, &one.certified);
    }
    Ok(names)
}

/// What rustls asks for a certificate.
#[derive(Debug)]
struct Resolver(Arc<CertificateStore>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.names.load().pick(hello.server_name()))
    }
}

/// For listeners: certificates by SNI from `store`, ALPN `h2` and `http/1.1` (RFC 7301), no client certificate, suites by
/// the client's preference.
///
/// # Errors
/// When rustls refuses the versions.
pub(crate) fn server_config(store: &Arc<CertificateStore>) -> Result<ServerConfig, TlsError> {
    config_with(store, aws_lc_rs::default_provider())
}

/// The same, with suites by our own preference: AES-128-GCM, which every TLS 1.3 client has (RFC 8446 section 9.1) and which
/// costs less than AES-256-GCM, then the others in rustls' order.
///
/// # Errors
/// When rustls refuses the versions.
pub(crate) fn frugal_config(store: &Arc<CertificateStore>) -> Result<ServerConfig, TlsError> {
    const SMALLER: [CipherSuite; 3] = [
        CipherSuite::TLS13_AES_128_GCM_SHA256,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    ];
    let mut provider = aws_lc_rs::default_provider();
    // Stable; suites of TLS 1.3 stay before those of TLS 1.2, of which each connection has one alone anyway.
    provider
        .cipher_suites
        .sort_by_key(|suite| !SMALLER.contains(&suite.suite()));
    let mut config = config_with(store, provider)?;
    config.ignore_client_order = true;
    Ok(config)
}

fn config_with(
    store: &Arc<CertificateStore>,
    provider: CryptoProvider,
) -> Result<ServerConfig, TlsError> {
    let versions: &[&rustls::SupportedProtocolVersion] = match store.config.version_min {
        TlsVersion::Tls12 => &[&TLS13, &TLS12],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Resolver(Arc::clone(store))));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
