//! The certificate authority of one machine: what development, tests and a single-machine region use where a
//! cluster has Istio's.

use std::fmt;
use std::path::{Path, PathBuf};

use mcsp_runtime::{SharedClock, SharedEntropy, SystemClock, SystemEntropy};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use time::{Duration, OffsetDateTime};

use crate::files::{self, MODE_PUBLIC, MODE_SECRET};
use crate::{IdentityConfig, IdentityError, SpiffeId};

/// How long a workload's certificate is good, days.
pub const VALIDITY_DAYS_DEFAULT: u32 = 30;
/// How long the authority's own certificate is good, days.
const CA_VALIDITY_DAYS: u32 = 1825;
/// Certificates are good from a little before they are made, for peers whose clocks are behind.
const BACKDATE_MINUTES: i64 = 5;
/// `ub-common-name` of RFC 5280 appendix A.1.
const COMMON_NAME_CHARS_MAX: usize = 64;

/// Where a workload's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The certificate, PEM.
    pub cert_file: PathBuf,
    /// Its key, PKCS #8 PEM, mode 0600.
    pub key_file: PathBuf,
    /// The authority's certificate, PEM.
    pub ca_file: PathBuf,
}

impl IdentityFiles {
    /// The configuration that loads them.
    #[must_use]
    pub fn config(&self) -> IdentityConfig {
        IdentityConfig {
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
            ca_file: self.ca_file.clone(),
        }
    }
}

/// A certificate authority whose key is a file in a folder. ECDSA P-256 throughout.
pub struct LocalCa {
    issuer: Issuer<'static, KeyPair>,
    cert_pem: String,
    clock: SharedClock,
    entropy: SharedEntropy,
    validity_days: u32,
}

impl LocalCa {
    /// Opens the authority in `dir`, or makes one: `ca-key.pem` (key and certificate, mode 0600) and `ca.pem` (the
    /// certificate). Several processes may do so at once and get the same.
    ///
    /// # Errors
    /// When the files cannot be read, written or used.
    pub fn create_or_open(dir: &Path) -> Result<Self, IdentityError> {
        Self::create_or_open_with(dir, SystemClock::shared(), SystemEntropy::shared())
    }

    /// [`Self::create_or_open`] with the clock that decides validity and the source of serial numbers.
    ///
    /// # Errors
    /// When the files cannot be read, written or used.
    pub fn create_or_open_with(
        dir: &Path,
        clock: SharedClock,
        entropy: SharedEntropy,
    ) -> Result<Self, IdentityError> {
        files::create_dir(dir)?;
        let key_path = dir.join("ca-key.pem");
        if !key_path.exists() {
            let (key, cert_pem) = make_root(&clock, &entropy)?;
            let both = format!("{}{cert_pem}", key.serialize_pem());
            files::create(&key_path, MODE_SECRET, &both, &*entropy)?;
        }
        // Read back even what was just made: another process may have been first.
        let both = files::read(&key_path)?;
        let at = both
            .find("-----BEGIN CERTIFICATE-----")
            .ok_or_else(|| IdentityError::material(&key_path, "no certificate behind the key"))?;
        let (key_pem, cert_pem) = both.split_at(at);
        let key = KeyPair::from_pem(key_pem)
            .map_err(|e| IdentityError::material(&key_path, e.to_string()))?;
        let issuer = Issuer::from_ca_cert_pem(cert_pem, key)
            .map_err(|e| IdentityError::material(&key_path, e.to_string()))?;
        let cert_path = dir.join("ca.pem");
        if !cert_path.exists() {
            files::replace(&cert_path, MODE_PUBLIC, cert_pem, &*entropy)?;
        }
        Ok(Self {
            issuer,
            cert_pem: cert_pem.to_owned(),
            clock,
            entropy,
            validity_days: VALIDITY_DAYS_DEFAULT,
        })
    }

    /// Certificates issued from now on are good for `days` (at least 1).
    #[must_use]
    pub fn with_validity_days(mut self, days: u32) -> Self {
        self.validity_days = days.max(1);
        self
    }

    /// The authority's certificate, PEM.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// Makes a key and a certificate for the workload `id`, replacing what `out_dir` held: `cert.pem`, `key.pem`
    /// (mode 0600) and `ca.pem`. The certificate carries the SPIFFE name as its only URI SAN, and the DNS SANs
    /// `{account}.{namespace}.mcsp.internal`, `localhost` and `extra_dns`; it is good for both ends of a connection.
    ///
    /// # Errors
    /// When a name of `extra_dns` is not a DNS name, or a file cannot be written.
    pub fn issue(
        &self,
        id: &SpiffeId,
        extra_dns: &[&str],
        out_dir: &Path,
    ) -> Result<IdentityFiles, IdentityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let dns_name = id.dns_name();
        let mut params = CertificateParams::default();
        params
            .subject_alt_names
            .push(SanType::URI(Ia5String::try_from(id.to_string())?));
        for name in [dns_name.as_str(), "localhost"].iter().chain(extra_dns) {
            params
                .subject_alt_names
                .push(SanType::DnsName(Ia5String::try_from(*name)?));
        }
        params.distinguished_name = distinguished_name(&dns_name);
        params.serial_number = Some(serial(&self.entropy));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        params.is_ca = IsCa::ExplicitNoCa;
        (params.not_before, params.not_after) = validity(&self.clock, self.validity_days);
        let cert = params.signed_by(&key, &self.issuer)?;

        files::create_dir(out_dir)?;
        let made = IdentityFiles {
            cert_file: out_dir.join("cert.pem"),
            key_file: out_dir.join("key.pem"),
            ca_file: out_dir.join("ca.pem"),
        };
        files::replace(&made.ca_file, MODE_PUBLIC, &self.cert_pem, &*self.entropy)?;
        files::replace(
            &made.key_file,
            MODE_SECRET,
            &key.serialize_pem(),
            &*self.entropy,
        )?;
        files::replace(&made.cert_file, MODE_PUBLIC, &cert.pem(), &*self.entropy)?;
        Ok(made)
    }
}

impl fmt::Debug for LocalCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalCa")
            .field("validity_days", &self.validity_days)
            .finish_non_exhaustive()
    }
}

fn make_root(
    clock: &SharedClock,
    entropy: &SharedEntropy,
) -> Result<(KeyPair, String), IdentityError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name("MCSP local authority");
    params.serial_number = Some(serial(entropy));
    // It signs workloads, never another authority.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = validity(clock, CA_VALIDITY_DAYS);
    let cert = params.self_signed(&key)?;
    Ok((key, cert.pem()))
}

fn validity(clock: &SharedClock, days: u32) -> (OffsetDateTime, OffsetDateTime) {
    let now =
        OffsetDateTime::from_unix_timestamp(clock.now_s()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    (
        now - Duration::minutes(BACKDATE_MINUTES),
        now + Duration::days(i64::from(days)),
    )
}

/// 127 random bits: positive and at most 20 octets (RFC 5280 section 4.1.2.2).
fn serial(entropy: &SharedEntropy) -> SerialNumber {
    let mut bytes = [0; 16];
    entropy.fill(&mut bytes);
    // Neither negative nor beginning with an octet of zeros.
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn distinguished_name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "MCSP");
    name.push(
        DnType::CommonName,
        common_name
            .chars()
            .take(COMMON_NAME_CHARS_MAX)
            .collect::<String>(),
    );
    name
}
