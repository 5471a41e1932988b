//! The certificate authority of one machine, as commands.

use std::path::Path;

use mcsp_identity::{IdentityError, IdentityFiles, LocalCa, SpiffeId};

/// Makes the authority in `dir`, or finds it there; returns its certificate, PEM.
///
/// # Errors
/// When the files cannot be written or used.
pub fn init(dir: &Path) -> Result<String, IdentityError> {
    Ok(LocalCa::create_or_open(dir)?.cert_pem().to_owned())
}

/// What to issue.
#[derive(Debug, Clone)]
pub struct Issue<'a> {
    /// The authority's folder.
    pub dir: &'a Path,
    /// Who the certificate is for.
    pub id: SpiffeId,
    /// Further DNS names.
    pub dns: Vec<&'a str>,
    /// How long it is good, days.
    pub validity_days: u32,
    /// Where its files go.
    pub out_dir: &'a Path,
}

/// Issues a workload's certificate, replacing what `out_dir` held.
///
/// # Errors
/// When the files cannot be written or used, or a DNS name is none.
pub fn issue(issue: &Issue<'_>) -> Result<IdentityFiles, IdentityError> {
    LocalCa::create_or_open(issue.dir)?
        .with_validity_days(issue.validity_days)
        .issue(&issue.id, &issue.dns, issue.out_dir)
}
