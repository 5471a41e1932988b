//! Who may call what: a table that is data, read by the code and by the generator of mesh policies.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use thiserror::Error;

use crate::SpiffeId;
use crate::spiffe::{EDGE_NAMESPACE, is_label};

/// The table the project ships.
const EMBEDDED: &str = include_str!("../callers.toml");
/// The interfaces that are not gRPC services.
const PLAIN_INTERFACES: [&str; 6] = [
    "http:api",
    "http:media",
    "http:web",
    "http:shield",
    "http:admin",
    "s3",
];

/// Why a text is not a caller table.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CallerTableError {
    /// Not TOML of the right form; unknown keys are refused.
    #[error("caller table: {0}")]
    Form(String),
    /// A rule's value cannot be used.
    #[error("caller table, rule {rule}: {key} = {value:?}: expected {expected}")]
    Value {
        /// The rule's number, from 1.
        rule: usize,
        /// The key at fault.
        key: &'static str,
        /// Its value.
        value: String,
        /// What was expected.
        expected: &'static str,
    },
}

/// Who may call what; what no rule allows is refused. Cloning shares it.
#[derive(Clone)]
pub struct CallerTable {
    rules: Arc<[Rule]>,
}

#[derive(Debug)]
struct Rule {
    callers: Vec<Pattern>,
    interfaces: BTreeSet<String>,
    cross_region: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Pattern {
    /// `None`: any region.
    namespace: Option<String>,
    /// `None`: any account.
    account: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableText {
    #[serde(default)]
    rule: Vec<RuleText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    callers: Vec<String>,
    interfaces: Vec<String>,
    #[serde(default)]
    cross_region: bool,
    /// For people; required, so that no rule is without a reason.
    why: String,
}

impl CallerTable {
    /// The table the project ships.
    ///
    /// # Errors
    /// Never in a build whose tests passed.
    pub fn embedded() -> Result<Self, CallerTableError> {
        Self::from_toml(EMBEDDED)
    }

    /// A table without a rule: nobody may call anything.
    #[must_use]
    pub fn deny_all() -> Self {
        Self {
            rules: Arc::new([]),
        }
    }

    /// Reads a table: `[[rule]]` with `callers`, `interfaces`, `why` and, if wanted, `cross_region`.
    ///
    /// # Errors
    /// When a key is unknown or missing, or a value is not of its kind; names the rule, the key and the value.
    pub fn from_toml(text: &str) -> Result<Self, CallerTableError> {
        let table: TableText =
            toml::from_str(text).map_err(|e| CallerTableError::Form(e.to_string()))?;
        let rules = table
            .rule
            .into_iter()
            .enumerate()
            .map(|(index, rule)| Rule::new(index + 1, rule))
            .collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }

    /// May `caller` use `interface` of a server in `server_region`?
    #[must_use]
    pub fn allows(&self, caller: &SpiffeId, server_region: &str, interface: &str) -> bool {
        self.rules.iter().any(|rule| {
            rule.interfaces.contains(interface)
                && (rule.cross_region || caller.namespace() == server_region)
                && rule.callers.iter().any(|pattern| pattern.matches(caller))
        })
    }

    /// Every interface that some rule opens, each once: what a generator or a test enumerates.
    #[must_use]
    pub fn interfaces(&self) -> BTreeSet<&str> {
        self.rules
            .iter()
            .flat_map(|rule| rule.interfaces.iter().map(String::as_str))
            .collect()
    }
}

impl fmt::Debug for CallerTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallerTable")
            .field("rules", &self.rules.len())
            .finish()
    }
}

impl Rule {
    fn new(number: usize, text: RuleText) -> Result<Self, CallerTableError> {
        let fault = |key, value: &str, expected| CallerTableError::Value {
            rule: number,
            key,
            value: value.to_owned(),
            expected,
        };
        if text.why.trim().is_empty() {
            return Err(fault("why", &text.why, "the reason for the rule"));
        }
        if text.callers.is_empty() {
            return Err(fault("callers", "[]", "at least one caller"));
        }
        if text.interfaces.is_empty() {
            return Err(fault("interfaces", "[]", "at least one interface"));
        }
        let callers = text
            .callers
            .iter()
            .map(|caller| {
                Pattern::parse(caller).ok_or_else(|| {
                    fault(
                        "callers",
                        caller,
                        "namespace/account, each a DNS label or * for the whole part",
                    )
                })
            })
            .collect::<Result<_, _>>()?;
        for interface in &text.interfaces {
            if !is_interface(interface) {
                return Err(fault(
                    "interfaces",
                    interface,
                    "a gRPC service's full name, or one of http:api, http:media, http:web, http:shield, http:admin, s3",
                ));
            }
        }
        Ok(Self {
            callers,
            interfaces: text.interfaces.into_iter().collect(),
            cross_region: text.cross_region,
        })
    }
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let (namespace, account) = text.split_once('/')?;
        let part = |part: &str| match part {
            "*" => Some(None),
            label if is_label(label) => Some(Some(label.to_owned())),
            _ => None,
        };
        Some(Self {
            namespace: part(namespace)?,
            account: part(account)?,
        })
    }

    fn matches(&self, caller: &SpiffeId) -> bool {
        let namespace = match &self.namespace {
            Some(namespace) => namespace == caller.namespace(),
            // A PoP that is called like a service must not get the service's rights.
            None => caller.namespace() != EDGE_NAMESPACE,
        };
        namespace
            && self
                .account
                .as_deref()
                .is_none_or(|account| account == caller.account())
    }
}

fn is_interface(text: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    PLAIN_INTERFACES.contains(&text) || (text.contains('.') && text.split('.').all(is_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(namespace: &str, account: &str) -> SpiffeId {
        SpiffeId::new("mcsp.internal", namespace, account).expect("a name")
    }

    fn table(text: &str) -> CallerTable {
        CallerTable::from_toml(text).expect("a table")
    }

    #[test]
    fn the_embedded_table_says_what_the_design_says() {
        let table = CallerTable::embedded().expect("the embedded table");
        let allowed = |namespace, account, interface| {
            table.allows(&id(namespace, account), "ng-lagos", interface)
        };
        // Edges, wherever they are.
        for interface in [
            "http:api",
            "http:media",
            "http:web",
            "http:shield",
            "s3",
            "mcsp.feed.v1.EdgeFeed",
        ] {
            assert!(allowed("edge", "lhr1", interface), "{interface}");
        }
        for interface in [
            "mcsp.content.v1.Content",
            "mcsp.events.v1.EventLog",
            "mcsp.kv.v1.KeyValue",
            "http:admin",
        ] {
            assert!(!allowed("edge", "los1", interface), "{interface}");
        }
        // The peer region: the feed, forwarded uploads and logins, nothing else.
        assert!(allowed("global-london", "origin", "mcsp.feed.v1.EdgeFeed"));
        assert!(allowed("global-london", "upload", "mcsp.upload.v1.Upload"));
        assert!(allowed("global-london", "auth", "mcsp.auth.v1.HomeLogin"));
        assert!(!allowed(
            "global-london",
            "upload",
            "mcsp.auth.v1.HomeLogin"
        ));
        assert!(!allowed("edge", "lhr1", "mcsp.auth.v1.HomeLogin"));
        for interface in [
            "mcsp.content.v1.Content",
            "mcsp.events.v1.EventLog",
            "s3",
            "http:api",
            "mcsp.auth.v1.Auth",
        ] {
            assert!(
                !allowed("global-london", "origin", interface),
                "{interface}"
            );
        }
        // Inside the region.
        assert!(allowed("ng-lagos", "upload", "mcsp.content.v1.Content"));
        assert!(allowed("ng-lagos", "playback", "mcsp.content.v1.Content"));
        assert!(allowed("ng-lagos", "media", "mcsp.events.v1.EventLog"));
        assert!(!allowed("ng-lagos", "media", "mcsp.content.v1.Content"));
        assert!(!allowed("ng-lagos", "media", "http:api"));
    }

    #[test]
    fn what_no_rule_names_is_refused() {
        assert!(!CallerTable::deny_all().allows(&id("edge", "los1"), "ng-lagos", "http:api"));
        let empty = table("");
        assert!(!empty.allows(&id("edge", "los1"), "ng-lagos", "http:api"));
        let one = table(
            "[[rule]]\ncallers=['edge/los1']\ninterfaces=['http:api']\ncross_region=true\nwhy='x'",
        );
        assert!(one.allows(&id("edge", "los1"), "ng-lagos", "http:api"));
        assert!(!one.allows(&id("edge", "los1"), "ng-lagos", "http:apis"));
        assert!(!one.allows(&id("edge", "los1"), "ng-lagos", ""));
        assert!(!one.allows(&id("edge", "los2"), "ng-lagos", "http:api"));
        assert!(!one.allows(&id("ng-lagos", "los1"), "ng-lagos", "http:api"));
    }

    #[test]
    fn a_rule_holds_in_its_own_region_unless_it_says_otherwise() {
        let near = table("[[rule]]\ncallers=['*/upload']\ninterfaces=['a.B']\nwhy='x'");
        assert!(near.allows(&id("ng-lagos", "upload"), "ng-lagos", "a.B"));
        assert!(!near.allows(&id("global-london", "upload"), "ng-lagos", "a.B"));
        let far =
            table("[[rule]]\ncallers=['*/upload']\ninterfaces=['a.B']\ncross_region=true\nwhy='x'");
        assert!(far.allows(&id("global-london", "upload"), "ng-lagos", "a.B"));
    }

    #[test]
    fn a_star_is_a_whole_part_and_no_region_is_called_edge() {
        let any =
            table("[[rule]]\ncallers=['*/origin']\ninterfaces=['a.B']\ncross_region=true\nwhy='x'");
        assert!(any.allows(&id("global-london", "origin"), "ng-lagos", "a.B"));
        assert!(!any.allows(&id("edge", "origin"), "ng-lagos", "a.B"));
        let all = table("[[rule]]\ncallers=['ng-lagos/*']\ninterfaces=['a.B']\nwhy='x'");
        assert!(all.allows(&id("ng-lagos", "whatever"), "ng-lagos", "a.B"));
    }

    #[test]
    fn bad_tables_are_refused_with_the_rule_key_and_value() {
        for (text, expected) in [
            (
                "[[rule]]\ncallers=['edge/*']\ninterfaces=['s3']\nwhy='x'\nregion='y'",
                "region",
            ),
            ("[[rules]]\n", "rules"),
            ("[[rule]]\ncallers=['edge/*']\ninterfaces=['s3']", "why"),
            (
                "[[rule]]\ncallers=['edge/*']\ninterfaces=['s3']\nwhy=' '",
                "why",
            ),
            (
                "[[rule]]\ncallers=['edge']\ninterfaces=['s3']\nwhy='x'",
                "\"edge\"",
            ),
            (
                "[[rule]]\ncallers=['edge/l*']\ninterfaces=['s3']\nwhy='x'",
                "\"edge/l*\"",
            ),
            (
                "[[rule]]\ncallers=['edge/a/b']\ninterfaces=['s3']\nwhy='x'",
                "\"edge/a/b\"",
            ),
            (
                "[[rule]]\ncallers=[]\ninterfaces=['s3']\nwhy='x'",
                "callers",
            ),
            (
                "[[rule]]\ncallers=['edge/*']\ninterfaces=[]\nwhy='x'",
                "interfaces",
            ),
            (
                "[[rule]]\ncallers=['edge/*']\ninterfaces=['*']\nwhy='x'",
                "\"*\"",
            ),
            (
                "[[rule]]\ncallers=['edge/*']\ninterfaces=['http:apis']\nwhy='x'",
                "\"http:apis\"",
            ),
            (
                "[[rule]]\ncallers='edge/*'\ninterfaces=['s3']\nwhy='x'",
                "callers",
            ),
        ] {
            let error = CallerTable::from_toml(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text:?} gave {error:?}");
        }
    }
}
