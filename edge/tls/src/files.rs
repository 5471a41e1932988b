//! Reading certificate files.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;

use crate::{CertificateConfig, TlsError};

/// The largest file that is read, bytes: a chain of a few certificates is a tenth of it.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// A certificate with its key and the DNS names it is for.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) names: Vec<String>,
}

/// Reads and checks one certificate: the chain parses, the key fits, there is a name.
pub(crate) fn load(config: &CertificateConfig) -> Result<Loaded, TlsError> {
    let cert_file = config.cert_file.as_path();
    let chain = CertificateDer::pem_slice_iter(&read(cert_file)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| {
            TlsError::material(cert_file, format!("expected PEM certificates: {error}"))
        })?;
    let Some(first) = chain.first() else {
        return Err(TlsError::material(
            cert_file,
            "expected at least one PEM certificate, found none",
        ));
    };
    let names = dns_names(cert_file, first)?;
    let key_file = config.key_file.as_path();
    let key = PrivateKeyDer::from_pem_slice(&read(key_file)?).map_err(|error| {
        TlsError::material(key_file, format!("expected a PEM private key: {error}"))
    })?;
    let certified =
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| {
            TlsError::material(
                key_file,
                format!("is not the key of {}: {error}", cert_file.display()),
            )
        })?;
    Ok(Loaded {
        certified: Arc::new(certified),
        names,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let fault = |source| TlsError::Read {
        path: path.to_owned(),
        source,
    };
    let file = std::fs::File::open(path).map_err(fault)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(fault)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(TlsError::material(
            path,
            format!("is larger than {FILE_BYTES_MAX} bytes"),
        ));
    }
    Ok(bytes)
}

fn dns_names(path: &Path, certificate: &CertificateDer<'_>) -> Result<Vec<String>, TlsError> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|error| {
        TlsError::material(path, format!("is not an X.509 certificate: {error}"))
    })?;
    let extension = parsed.subject_alternative_name().map_err(|error| {
        TlsError::material(path, format!("has unreadable alternative names: {error}"))
    })?;
    let names: Vec<String> = extension
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        return Err(TlsError::material(
            path,
            "has no DNS name among its alternative names; no client would take it",
        ));
    }
    Ok(names)
}
