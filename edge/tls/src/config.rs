//! What an operator may set.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::TlsError;

/// The oldest protocol version that viewers may speak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246), for old devices.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 (RFC 8446).
    #[default]
    #[serde(rename = "1.3")]
    Tls13,
}

/// One certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateConfig {
    /// The chain, PEM, the server's own certificate first. Required.
    pub cert_file: PathBuf,
    /// The certificate's private key, PEM. Required.
    pub key_file: PathBuf,
}

/// The TLS part of the node's configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// Certificates; a client that asks for no name, or for one that none of them has, gets the first. 1 to 1000.
    pub certificates: Vec<CertificateConfig>,
    /// `"1.3"` (default) or `"1.2"`.
    pub version_min: TlsVersion,
    /// How often the files are looked at for a change, ms. Default 10000; 100 to 3600000.
    pub reload_check_ms: u64,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            version_min: TlsVersion::default(),
            reload_check_ms: 10_000,
        }
    }
}

impl TlsConfig {
    /// Checks every range; the files are read by [`crate::CertificateStore::open`].
    ///
    /// # Errors
    /// [`TlsError::Config`] names the key, its value and what was expected.
    pub fn validate(&self) -> Result<(), TlsError> {
        let count = self.certificates.len();
        if !(1..=1000).contains(&count) {
            return Err(TlsError::config(
                "certificates",
                count as u64,
                "1 to 1000 entries",
            ));
        }
        if !(100..=3_600_000).contains(&self.reload_check_ms) {
            return Err(TlsError::config(
                "reload_check_ms",
                self.reload_check_ms,
                "100 to 3600000",
            ));
        }
        Ok(())
    }
}
