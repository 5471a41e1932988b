//! The certificate that all servers of a run share: ECDSA P-256, self-signed.

use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};

use super::{make_folder, write};
use crate::error::BenchError;

/// Files of a certificate and its key.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The folder of all three.
    pub folder: PathBuf,
    /// The certificate, PEM.
    pub cert: PathBuf,
    /// The key, PEM.
    pub key: PathBuf,
    /// Both in one, for hitch.
    pub both: PathBuf,
}

impl Certificate {
    /// What [`create`](Self::create) left in a folder.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            cert: folder.join("cert.pem"),
            key: folder.join("key.pem"),
            both: folder.join("both.pem"),
        }
    }

    /// Makes one for `localhost` and 127.0.0.1.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn create(folder: &Path) -> Result<Self, BenchError> {
        let fault = |error: rcgen::Error| BenchError::Answer(format!("certificate: {error}"));
        make_folder(folder)?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(fault)?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let params = CertificateParams::new(names).map_err(fault)?;
        let cert = params.self_signed(&key).map_err(fault)?;
        let (cert, key) = (cert.pem(), key.serialize_pem());
        let files = Self::in_folder(folder);
        write(&files.cert, &cert)?;
        write(&files.key, &key)?;
        write(&files.both, &format!("{key}{cert}"))?;
        Ok(files)
    }
}
