//! The worker's credentials for object storage, as the region's origin writes them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use mcsp_api::Residency;
use mcsp_objects::Secret;
use serde::Deserialize;
use thiserror::Error;

/// A file of credentials cannot be used.
#[derive(Debug, Error)]
#[error("credentials {}: {reason}", path.display())]
pub(crate) struct CredentialsError {
    path: PathBuf,
    reason: String,
}

/// One account's name and secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    pub(crate) access_key: String,
    pub(crate) secret: Secret,
}

/// The file: an account a bucket.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialsFile {
    global: Option<Credentials>,
    ng: Option<Credentials>,
}

/// Reads the account for objects of this residency.
pub(crate) fn read(path: &Path, residency: Residency) -> Result<Credentials, CredentialsError> {
    let fault = |reason: String| CredentialsError {
        path: path.to_owned(),
        reason,
    };
    let meta = fs::metadata(path).map_err(|error| {
        fault(format!(
            "{error}; the region's origin writes it when it starts"
        ))
    })?;
    if meta.permissions().mode() & 0o077 != 0 {
        return Err(fault("others may read it; expected mode 0600".to_owned()));
    }
    let text = fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    let file: CredentialsFile = toml::from_str(&text).map_err(|error| {
        // The parser's whole message would show the line, and with it the secret.
        let message = error.message();
        fault(format!(
            "expected [global] and [ng] with access_key and secret: {message}"
        ))
    })?;
    let (found, table) = match residency {
        Residency::Global => (file.global, "global"),
        Residency::Ng => (file.ng, "ng"),
    };
    found.ok_or_else(|| fault(format!("expected [{table}] with access_key and secret")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn each_residency_has_its_own_account_and_no_error_shows_a_secret() {
        let text =
            "[global]\naccess_key = \"worker-global\"\nsecret = \"sixteen letters or more\"\n";
        let good = file(text, 0o600);
        let found = read(good.path(), Residency::Global).unwrap();
        assert_eq!(found.access_key, "worker-global");
        let error = read(good.path(), Residency::Ng).unwrap_err().to_string();
        assert!(error.contains("expected [ng]"), "{error}");
        let error = read(file(text, 0o644).path(), Residency::Global).unwrap_err();
        assert!(error.to_string().contains("0600"));
        let broken = file("[global]\nsecret = \"sixteen letters or more\" oops", 0o600);
        let error = read(broken.path(), Residency::Global)
            .unwrap_err()
            .to_string();
        assert!(!error.contains("sixteen"), "{error}");
    }
}
