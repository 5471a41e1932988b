//! Who holds which credentials for object storage: one file a holder, one account a bucket.
//!
//! Every holder has an account for `NG` and another for `GLOBAL`, each denied the other's bucket, so that no mistake of a
//! service moves a byte from one to the other.

use std::path::{Path, PathBuf};

use mcsp_api::Residency;
use mcsp_objects::{Account, Accounts, Action, Effect, Rule, Secret};
use mcsp_runtime::{Entropy, hex_lower};
use mcsp_svc_upload::UploadConfig;
use serde::Deserialize;

use crate::config::Config;
use crate::{NodeError, files};

const SECRET_BYTES: usize = 32;

/// Who holds credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The upload service: presigns, completes, removes.
    Upload,
    /// The media origin: reads.
    MediaOrigin,
    /// The media worker: reads originals, writes renditions.
    Worker,
}

impl Holder {
    const ALL: [Self; 3] = [Self::Upload, Self::MediaOrigin, Self::Worker];

    fn name(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::MediaOrigin => "media-origin",
            Self::Worker => "worker",
        }
    }

    /// Where its credentials are.
    pub(crate) fn path(self, config: &Config) -> PathBuf {
        match (&config.storage.worker_credentials_file, self) {
            (Some(path), Self::Worker) => path.clone(),
            _ => config
                .credentials_dir()
                .join(format!("objects-{}.toml", self.name())),
        }
    }

    fn account(
        self,
        residency: Residency,
        credentials: &Credentials,
        buckets: &UploadConfig,
    ) -> Account {
        let other = match residency {
            Residency::Ng => Residency::Global,
            Residency::Global => Residency::Ng,
        };
        let (bucket, denied) = (buckets.bucket(residency), [buckets.bucket(other)]);
        let secret = credentials.secret.clone();
        let mut account = match self {
            Self::Upload | Self::Worker => {
                Account::writer(&credentials.access_key, secret, bucket, &denied)
            }
            Self::MediaOrigin => Account::reader(&credentials.access_key, secret, bucket, &denied),
        };
        // Nor may an object of one residency be put, by its name, among those of the other.
        account.policy.push(Rule {
            effect: Effect::Deny,
            bucket: bucket.to_owned(),
            actions: Action::ALL.to_vec(),
            key_prefix: format!("{}/", other.prefix()),
        });
        account
    }
}

/// One account's name and secret.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    pub(crate) access_key: String,
    pub(crate) secret: Secret,
}

/// A holder's file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HolderFile {
    pub(crate) global: Credentials,
    /// Only in Nigeria.
    #[serde(default)]
    pub(crate) ng: Option<Credentials>,
}

/// Reads a holder's credentials.
pub(crate) fn read(path: &Path) -> Result<Option<HolderFile>, NodeError> {
    let Some(text) = files::read_secret(path)? else {
        return Ok(None);
    };
    toml::from_str(&text)
        .map(Some)
        .map_err(|error| NodeError::Secrets {
            path: path.to_owned(),
            // The parser's whole message would show the line, and with it the secret.
            reason: format!(
                "expected [global] and [ng] with access_key and secret: {}",
                error.message()
            ),
        })
}

/// The accounts of every holder; what has none yet gets it.
pub(crate) fn provision(
    config: &Config,
    has_ng: bool,
    entropy: &dyn Entropy,
) -> Result<Accounts, NodeError> {
    let mut accounts = Vec::new();
    for holder in Holder::ALL {
        let path = holder.path(config);
        let file = match read(&path)? {
            // A region's country does not change, but a file may be from before.
            Some(file) if file.ng.is_some() || !has_ng => file,
            _ => make(holder, &path, has_ng, entropy)?,
        };
        accounts.push(holder.account(Residency::Global, &file.global, &config.upload));
        if let Some(ng) = file.ng.filter(|_| has_ng) {
            accounts.push(holder.account(Residency::Ng, &ng, &config.upload));
        }
    }
    Ok(Accounts::new(accounts)?)
}

fn make(
    holder: Holder,
    path: &Path,
    has_ng: bool,
    entropy: &dyn Entropy,
) -> Result<HolderFile, NodeError> {
    let fresh = |residency: Residency| {
        let mut bytes = [0; SECRET_BYTES];
        entropy.fill(&mut bytes);
        Credentials {
            access_key: format!("{}-{}", holder.name(), residency.prefix()),
            secret: Secret::new(hex_lower(&bytes)),
        }
    };
    let file = HolderFile {
        global: fresh(Residency::Global),
        ng: has_ng.then(|| fresh(Residency::Ng)),
    };
    let table = |name: &str, credentials: &Credentials| {
        format!(
            "[{name}]\naccess_key = {:?}\nsecret = {:?}\n",
            credentials.access_key,
            credentials.secret.expose()
        )
    };
    let mut text = format!(
        "# Credentials of {} for object storage. Keep it secret.\n",
        holder.name()
    );
    text.push_str(&table("global", &file.global));
    if let Some(ng) = &file.ng {
        text.push_str(&table("ng", ng));
    }
    if let Some(dir) = path.parent() {
        files::private_dir(dir)?;
    }
    files::replace(path, 0o600, &text)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_one_residency_is_not_put_among_those_of_the_other() {
        let buckets = UploadConfig::default();
        for holder in Holder::ALL {
            for (own, other) in [
                (Residency::Ng, Residency::Global),
                (Residency::Global, Residency::Ng),
            ] {
                let credentials = Credentials {
                    access_key: "holder".to_owned(),
                    secret: Secret::new("0123456789abcdef"),
                };
                let account = holder.account(own, &credentials, &buckets);
                let accounts = Accounts::new([account]).expect("accounts");
                let allows = |bucket: Residency, prefix: Residency, action| {
                    let key = format!("{}/c_ng_x/v360/1.m4s", prefix.prefix());
                    accounts.allows("holder", action, buckets.bucket(bucket), Some(&key))
                };
                let is_writer = holder != Holder::MediaOrigin;
                assert!(allows(own, own, Action::Read), "{holder:?} {own:?}");
                assert_eq!(allows(own, own, Action::Write), is_writer, "{holder:?}");
                for action in Action::ALL {
                    assert!(!allows(own, other, action), "{holder:?} {own:?} {action:?}");
                    assert!(!allows(other, own, action), "{holder:?} {own:?} {action:?}");
                    assert!(!allows(other, other, action), "{holder:?} {own:?}");
                }
            }
        }
    }
}
