//! Who may do what in which bucket.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use mcsp_identity::Peer;
use serde::Deserialize;
use thiserror::Error;

use crate::name::check_bucket;

/// A secret that never shows itself in logs.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a rule speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// `GetObject`, `HeadObject`.
    Read,
    /// `ListObjectsV2`, `HeadBucket`.
    List,
    /// `PutObject` and the multipart calls, `ListParts` included.
    Write,
    /// `DeleteObject`.
    Delete,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 4] = [Self::Read, Self::List, Self::Write, Self::Delete];

    /// The action of an S3 operation; `None` for operations that nobody may call here.
    pub(super) fn of_operation(name: &str) -> Option<Self> {
        match name {
            "GetObject" | "HeadObject" => Some(Self::Read),
            "ListObjectsV2" | "HeadBucket" => Some(Self::List),
            "PutObject"
            | "CreateMultipartUpload"
            | "UploadPart"
            | "CompleteMultipartUpload"
            | "AbortMultipartUpload"
            | "ListParts" => Some(Self::Write),
            "DeleteObject" => Some(Self::Delete),
            _ => None,
        }
    }
}

/// Does a rule give or take?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Gives, unless another rule denies.
    Allow,
    /// Takes, whatever other rules allow.
    Deny,
}

/// One line of a policy.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Gives or takes.
    pub effect: Effect,
    /// A bucket's name, or `*` for all.
    pub bucket: String,
    /// What is given or taken.
    pub actions: Vec<Action>,
    /// Only keys that begin so; empty (default) for all. A rule with a prefix does not speak of listings.
    #[serde(default)]
    pub key_prefix: String,
}

impl Rule {
    fn speaks_of(&self, action: Action, bucket: &str, key: Option<&str>) -> bool {
        let key_agrees =
            self.key_prefix.is_empty() || key.is_some_and(|key| key.starts_with(&self.key_prefix));
        (self.bucket == "*" || self.bucket == bucket)
            && self.actions.contains(&action)
            && key_agrees
    }
}

/// A set of credentials and what its holder may do.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// 3 to 128 of `A-Z a-z 0-9 - _`; names the account in logs.
    pub access_key: String,
    /// At least 16 characters.
    pub secret: Secret,
    /// Without a rule that allows, nothing is allowed.
    pub policy: Vec<Rule>,
}

impl Account {
    /// Reads, writes, lists and deletes in `bucket`, and is denied everything in each of `denied`, whatever rule is
    /// added later.
    #[must_use]
    pub fn writer(
        access_key: impl Into<String>,
        secret: Secret,
        bucket: &str,
        denied: &[&str],
    ) -> Self {
        Self::with(access_key, secret, bucket, &Action::ALL, denied)
    }

    /// Reads and lists in `bucket`, and is denied everything in each of `denied`.
    #[must_use]
    pub fn reader(
        access_key: impl Into<String>,
        secret: Secret,
        bucket: &str,
        denied: &[&str],
    ) -> Self {
        Self::with(
            access_key,
            secret,
            bucket,
            &[Action::Read, Action::List],
            denied,
        )
    }

    fn with(
        access_key: impl Into<String>,
        secret: Secret,
        bucket: &str,
        actions: &[Action],
        denied: &[&str],
    ) -> Self {
        let rule = |effect, bucket: &str, actions: &[Action]| Rule {
            effect,
            bucket: bucket.to_owned(),
            actions: actions.to_vec(),
            key_prefix: String::new(),
        };
        let mut policy = vec![rule(Effect::Allow, bucket, actions)];
        policy.extend(
            denied
                .iter()
                .map(|bucket| rule(Effect::Deny, bucket, &Action::ALL)),
        );
        Self {
            access_key: access_key.into(),
            secret,
            policy,
        }
    }
}

/// Why a set of accounts cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("S3 account {access_key:?}: {key}: {expected}")]
pub struct AccountsError {
    access_key: String,
    key: &'static str,
    expected: String,
}

/// Decides whether a peer may carry a bucket's bytes.
type MayCarry = Arc<dyn Fn(&Peer) -> bool + Send + Sync>;

/// All accounts of an endpoint.
#[derive(Clone, Default)]
pub struct Accounts {
    by_access_key: BTreeMap<String, Account>,
    /// By bucket; a bucket that is not here may be carried by every peer that may call at all.
    carriers: BTreeMap<String, MayCarry>,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts")
            .field("by_access_key", &self.by_access_key)
            .field("carriers", &self.carriers.keys())
            .finish()
    }
}

impl Accounts {
    /// Checks and takes the accounts.
    ///
    /// # Errors
    /// [`AccountsError`] names the account, the key and what was expected.
    pub fn new(accounts: impl IntoIterator<Item = Account>) -> Result<Self, AccountsError> {
        let mut by_access_key = BTreeMap::new();
        for account in accounts {
            check(&account)?;
            let access_key = account.access_key.clone();
            if by_access_key.insert(access_key.clone(), account).is_some() {
                return Err(AccountsError {
                    access_key,
                    key: "access_key",
                    expected: "is given twice; expected a name of its own for each account"
                        .to_owned(),
                });
            }
        }
        Ok(Self {
            by_access_key,
            carriers: BTreeMap::new(),
        })
    }

    /// Over the network, the bytes of `bucket` pass only through peers that `may_carry` names, whatever credentials a
    /// request bears: who carries a presigned request sees its bytes without having signed it.
    #[must_use]
    pub fn carried_by(
        mut self,
        bucket: &str,
        may_carry: impl Fn(&Peer) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.carriers.insert(bucket.to_owned(), Arc::new(may_carry));
        self
    }

    /// May this peer carry the bucket's bytes? No peer is the same process.
    pub(super) fn may_carry(&self, bucket: &str, peer: Option<&Peer>) -> bool {
        match (self.carriers.get(bucket), peer) {
            (Some(may_carry), Some(peer)) => may_carry(peer),
            _ => true,
        }
    }

    pub(super) fn secret(&self, access_key: &str) -> Option<&Secret> {
        self.by_access_key
            .get(access_key)
            .map(|account| &account.secret)
    }

    /// May the account do this? An explicit denial wins, and what no rule allows is denied.
    #[must_use]
    pub fn allows(
        &self,
        access_key: &str,
        action: Action,
        bucket: &str,
        key: Option<&str>,
    ) -> bool {
        let Some(account) = self.by_access_key.get(access_key) else {
            return false;
        };
        let mut allowed = false;
        for rule in account
            .policy
            .iter()
            .filter(|rule| rule.speaks_of(action, bucket, key))
        {
            match rule.effect {
                Effect::Deny => return false,
                Effect::Allow => allowed = true,
            }
        }
        allowed
    }
}

fn check(account: &Account) -> Result<(), AccountsError> {
    let refuse = |key: &'static str, expected: String| {
        Err(AccountsError {
            access_key: account.access_key.chars().take(128).collect(),
            key,
            expected,
        })
    };
    let valid_byte = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !(3..=128).contains(&account.access_key.len()) || !account.access_key.bytes().all(valid_byte)
    {
        return refuse(
            "access_key",
            "expected 3 to 128 of A-Z a-z 0-9 - _".to_owned(),
        );
    }
    if account.secret.expose().len() < 16 {
        return refuse("secret", "expected at least 16 characters".to_owned());
    }
    for rule in &account.policy {
        if rule.bucket != "*" && check_bucket(&rule.bucket).is_err() {
            return refuse(
                "policy.bucket",
                format!("{:?}; expected a bucket's name or \"*\"", rule.bucket),
            );
        }
        if rule.actions.is_empty() {
            return refuse(
                "policy.actions",
                "expected at least one of read, list, write, delete".to_owned(),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret::new("0123456789abcdef")
    }

    #[test]
    fn a_denial_wins_over_any_rule_that_allows() {
        let mut account = Account::writer("ng-writer", secret(), "mcsp-ng", &["mcsp-global"]);
        account.policy.push(Rule {
            effect: Effect::Allow,
            bucket: "*".to_owned(),
            actions: Action::ALL.to_vec(),
            key_prefix: String::new(),
        });
        let accounts = Accounts::new([account]).expect("accounts");
        for action in Action::ALL {
            assert!(accounts.allows("ng-writer", action, "mcsp-ng", Some("ng/a")));
            assert!(!accounts.allows("ng-writer", action, "mcsp-global", Some("ng/a")));
        }
    }

    #[test]
    fn what_no_rule_allows_is_denied() {
        let accounts =
            Accounts::new([Account::reader("reader", secret(), "mcsp-ng", &[])]).expect("accounts");
        assert!(accounts.allows("reader", Action::Read, "mcsp-ng", Some("a")));
        assert!(!accounts.allows("reader", Action::Write, "mcsp-ng", Some("a")));
        assert!(!accounts.allows("reader", Action::Read, "mcsp-global", Some("a")));
        assert!(!accounts.allows("nobody", Action::Read, "mcsp-ng", Some("a")));
    }

    #[test]
    fn a_rule_with_a_prefix_speaks_of_those_keys_alone() {
        let mut account = Account::writer("writer", secret(), "mcsp-global", &[]);
        account.policy.push(Rule {
            effect: Effect::Deny,
            bucket: "mcsp-global".to_owned(),
            actions: vec![Action::Write],
            key_prefix: "ng/".to_owned(),
        });
        let accounts = Accounts::new([account]).expect("accounts");
        assert!(!accounts.allows("writer", Action::Write, "mcsp-global", Some("ng/a")));
        assert!(accounts.allows("writer", Action::Write, "mcsp-global", Some("global/a")));
        assert!(accounts.allows("writer", Action::List, "mcsp-global", None));
    }

    #[test]
    fn accounts_that_cannot_be_right_are_refused_by_name() {
        let weak = Account::reader("reader", Secret::new("short"), "mcsp-ng", &[]);
        let error = Accounts::new([weak])
            .expect_err("a short secret")
            .to_string();
        assert!(
            error.contains("\"reader\": secret") && !error.contains("short"),
            "{error}"
        );
        let one = || Account::reader("reader", secret(), "mcsp-ng", &[]);
        assert!(Accounts::new([one(), one()]).is_err());
        assert!(Accounts::new([Account::reader("reader", secret(), "No Bucket", &[])]).is_err());
        assert!(!format!("{:?}", one()).contains("0123456789abcdef"));
    }
}
