//! SPIFFE names in the form that Istio uses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The trust domain of an installation that does not choose its own.
pub const TRUST_DOMAIN_DEFAULT: &str = "mcsp.internal";
/// What ends the DNS names in workload certificates.
pub const DNS_SUFFIX: &str = "mcsp.internal";
/// The namespace of edge nodes; the account is the PoP's id. Every other namespace is a region's id.
pub const EDGE_NAMESPACE: &str = "edge";

const TRUST_DOMAIN_CHARS_MAX: usize = 255;
/// A DNS label's limit (RFC 1035 section 2.3.4): namespace and account are labels of the certificate's DNS name.
const LABEL_CHARS_MAX: usize = 63;

/// Why a text is not a SPIFFE name of ours.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{text:?} is not a workload name: {reason}; expected spiffe://<trust domain>/ns/<namespace>/sa/<account>"
)]
pub struct SpiffeIdError {
    text: String,
    reason: &'static str,
}

/// A workload's name, `spiffe://{trust_domain}/ns/{namespace}/sa/{account}`
/// (SPIFFE-ID section 2, with the path that Istio gives service accounts).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpiffeId {
    trust_domain: String,
    namespace: String,
    account: String,
}

impl SpiffeId {
    /// A name of its three parts.
    ///
    /// # Errors
    /// When the trust domain is not 1 to 255 characters of `a-z 0-9 . _ -`, or namespace or account is not a DNS
    /// label (1 to 63 characters of `a-z 0-9 -`, no `-` at either end).
    pub fn new(trust_domain: &str, namespace: &str, account: &str) -> Result<Self, SpiffeIdError> {
        let error = |reason| SpiffeIdError {
            text: format!("{trust_domain}/{namespace}/{account}")
                .chars()
                .take(128)
                .collect(),
            reason,
        };
        let is_domain_char =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        if trust_domain.is_empty()
            || trust_domain.len() > TRUST_DOMAIN_CHARS_MAX
            || !trust_domain.bytes().all(is_domain_char)
        {
            return Err(error(
                "the trust domain is not 1 to 255 characters of a-z 0-9 . _ -",
            ));
        }
        if !is_label(namespace) {
            return Err(error("the namespace is not a DNS label"));
        }
        if !is_label(account) {
            return Err(error("the account is not a DNS label"));
        }
        Ok(Self {
            trust_domain: trust_domain.to_owned(),
            namespace: namespace.to_owned(),
            account: account.to_owned(),
        })
    }

    /// Parses `spiffe://{trust_domain}/ns/{namespace}/sa/{account}`; nothing else is accepted, no query, no escape.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn parse(text: &str) -> Result<Self, SpiffeIdError> {
        let parts = || {
            let (trust_domain, path) = text.strip_prefix("spiffe://")?.split_once('/')?;
            let (namespace, account) = path.strip_prefix("ns/")?.split_once("/sa/")?;
            Some((trust_domain, namespace, account))
        };
        let (trust_domain, namespace, account) = parts().ok_or_else(|| SpiffeIdError {
            text: text.chars().take(128).collect(),
            reason: "another form",
        })?;
        Self::new(trust_domain, namespace, account)
    }

    /// The trust domain: who vouches.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        &self.trust_domain
    }

    /// `edge`, or a region's id.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The PoP's id, or the service's name.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The DNS name that the workload's certificate carries beside this name, `{account}.{namespace}.mcsp.internal`;
    /// what a client expects of the server it connects to.
    #[must_use]
    pub fn dns_name(&self) -> String {
        format!("{}.{}.{DNS_SUFFIX}", self.account, self.namespace)
    }
}

/// A DNS label in lower case (RFC 1123 section 2.1).
pub(crate) fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= LABEL_CHARS_MAX
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "spiffe://{}/ns/{}/sa/{}",
            self.trust_domain, self.namespace, self.account
        )
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, SpiffeIdError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for SpiffeId {
    type Error = SpiffeIdError;

    fn try_from(text: String) -> Result<Self, SpiffeIdError> {
        Self::parse(&text)
    }
}

impl From<SpiffeId> for String {
    fn from(id: SpiffeId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_text_and_gives_its_dns_name() {
        let id = SpiffeId::new("mcsp.internal", "ng-lagos", "auth").expect("a name");
        assert_eq!(id.to_string(), "spiffe://mcsp.internal/ns/ng-lagos/sa/auth");
        assert_eq!(SpiffeId::parse(&id.to_string()), Ok(id.clone()));
        assert_eq!(id.dns_name(), "auth.ng-lagos.mcsp.internal");
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "https://mcsp.internal/ns/a/sa/b",
            "spiffe://mcsp.internal",
            "spiffe://mcsp.internal/ns/a",
            "spiffe://mcsp.internal/ns/a/sa/",
            "spiffe://mcsp.internal/ns//sa/b",
            "spiffe:///ns/a/sa/b",
            "spiffe://mcsp.internal/ns/a/sa/b/c",
            "spiffe://mcsp.internal/ns/a/sa/b?x",
            "spiffe://mcsp.internal/ns/a/sa/b#x",
            "spiffe://mcsp.internal/ns/A/sa/b",
            "spiffe://mcsp.internal/ns/*/sa/b",
            "spiffe://mcsp.internal/ns/a%2f/sa/b",
            "spiffe://mcsp.internal:443/ns/a/sa/b",
            "spiffe://user@mcsp.internal/ns/a/sa/b",
            "spiffe://mcsp.internal/ns/-a/sa/b",
        ] {
            assert!(SpiffeId::parse(text).is_err(), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_parses_prints_as_it_was(text in "spiffe://[a-z.]{0,9}/ns/[a-z/*-]{0,9}/sa/[a-z-]{0,9}") {
            if let Ok(id) = SpiffeId::parse(&text) {
                assert_eq!(id.to_string(), text);
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,200}") {
            let _ = SpiffeId::parse(&text);
        }
    }
}
