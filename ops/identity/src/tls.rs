//! What rustls asks during a handshake, answered from material that may be reloaded in between.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use crate::IdentityError;
use crate::workload::{Material, peer_in_domain};

type Shared = Arc<ArcSwap<Material>>;

/// Presents the certificate that is in force now.
#[derive(Debug)]
pub(crate) struct ReloadingIdentity(pub(crate) Shared);

impl ResolvesServerCert for ReloadingIdentity {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().certified))
    }
}

impl ResolvesClientCert for ReloadingIdentity {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().certified))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Makes a verifier that believes these authorities.
type Make<V> = fn(Arc<RootCertStore>, Arc<CryptoProvider>) -> Result<Arc<V>, VerifierBuilderError>;

/// rustls' verifier of the authorities that are in force now: made again when they were reloaded.
#[derive(Debug)]
struct Following<V: ?Sized> {
    material: Shared,
    provider: Arc<CryptoProvider>,
    make: Make<V>,
    built: ArcSwap<Built<V>>,
}

/// A verifier made of one reading of the material.
#[derive(Debug)]
struct Built<V: ?Sized> {
    material: Arc<Material>,
    verifier: Arc<V>,
}

impl<V: ?Sized> Following<V> {
    fn new(
        material: Shared,
        provider: Arc<CryptoProvider>,
        make: Make<V>,
    ) -> Result<Self, IdentityError> {
        let built = Self::build(material.load_full(), &provider, make)?;
        Ok(Self {
            material,
            provider,
            make,
            built: ArcSwap::from_pointee(built),
        })
    }

    fn build(
        material: Arc<Material>,
        provider: &Arc<CryptoProvider>,
        make: Make<V>,
    ) -> Result<Built<V>, Error> {
        let verifier = make(Arc::clone(&material.roots), Arc::clone(provider))
            .map_err(|error| Error::General(error.to_string()))?;
        Ok(Built { material, verifier })
    }

    fn current(&self) -> Result<Arc<Built<V>>, Error> {
        let material = self.material.load_full();
        let built = self.built.load_full();
        if Arc::ptr_eq(&built.material, &material) {
            return Ok(built);
        }
        let fresh = Arc::new(Self::build(material, &self.provider, self.make)?);
        self.built.store(Arc::clone(&fresh));
        Ok(fresh)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Believes clients of our authority and our trust domain.
#[derive(Debug)]
pub(crate) struct TrustedClients(Following<dyn ClientCertVerifier>);

impl TrustedClients {
    pub(crate) fn new(
        material: Shared,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, IdentityError> {
        let make: Make<dyn ClientCertVerifier> =
            |roots, provider| WebPkiClientVerifier::builder_with_provider(roots, provider).build();
        Following::new(material, provider, make).map(Self)
    }
}

impl ClientCertVerifier for TrustedClients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let built = self.0.current()?;
        let verified = built
            .verifier
            .verify_client_cert(end_entity, intermediates, now)?;
        names_a_workload(end_entity, &built.material)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls13_only())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .current()?
            .verifier
            .verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.schemes()
    }
}

/// Believes servers of our authority and our trust domain that bear the name that was asked for.
#[derive(Debug)]
pub(crate) struct TrustedServers(Following<WebPkiServerVerifier>);

impl TrustedServers {
    pub(crate) fn new(
        material: Shared,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, IdentityError> {
        let make: Make<WebPkiServerVerifier> =
            |roots, provider| WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        Following::new(material, provider, make).map(Self)
    }
}

impl ServerCertVerifier for TrustedServers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let built = self.0.current()?;
        let verified = built.verifier.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        names_a_workload(end_entity, &built.material)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(tls13_only())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0
            .current()?
            .verifier
            .verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.schemes()
    }
}

fn names_a_workload(cert: &CertificateDer<'_>, material: &Material) -> Result<(), Error> {
    peer_in_domain(cert, material.id.trust_domain())
        .map(drop)
        .map_err(|_| Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
}

fn tls13_only() -> Error {
    Error::General("TLS 1.2 is not spoken between our processes".to_owned())
}
