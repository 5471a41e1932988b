//! The residency policy engine: decides once, at upload, where an item's bytes may be.
//!
//! The order is fixed: the organisation's policy, else the creator's choice, else the platform's default. The engine is
//! pure; whoever asks it writes the [`Decision`] to the audit log before acting on it.

use std::collections::BTreeMap;

use mcsp_api::{OrganisationId, Residency};
use mcsp_runtime::SharedClock;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Raised whenever the order or the meaning of the rules changes.
pub const ENGINE_VERSION: &str = "1";
/// The most organisations with a policy of their own.
pub const ORGANISATIONS_MAX: usize = 100_000;

/// What has been laid down before anybody uploads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Organisations that leave their creators no choice. Default none, at most [`ORGANISATIONS_MAX`].
    #[serde(default)]
    pub organisation: BTreeMap<OrganisationId, Residency>,
    /// For whoever chooses nothing. Default `GLOBAL`.
    #[serde(default = "default_residency")]
    pub default: Residency,
}

fn default_residency() -> Residency {
    Residency::Global
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            organisation: BTreeMap::new(),
            default: default_residency(),
        }
    }
}

/// Why a policy cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("residency policy: organisation has {0} entries; expected at most {ORGANISATIONS_MAX}")]
pub struct PolicyError(usize);

impl Policy {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`PolicyError`] when there are too many organisations.
    pub fn validate(&self) -> Result<(), PolicyError> {
        if self.organisation.len() > ORGANISATIONS_MAX {
            return Err(PolicyError(self.organisation.len()));
        }
        Ok(())
    }
}

/// The rule that decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleId {
    /// The organisation has a policy.
    OrganisationPolicy,
    /// The creator chose.
    CreatorChoice,
    /// Nobody said anything.
    PlatformDefault,
}

impl RuleId {
    /// As audit records write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OrganisationPolicy => "organisation-policy",
            Self::CreatorChoice => "creator-choice",
            Self::PlatformDefault => "platform-default",
        }
    }
}

/// A decision with its reasons. Only the engine makes one; a record of it is never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Decision {
    /// Where the bytes may be, for ever.
    pub residency: Residency,
    /// The rule that decided.
    pub rule_id: RuleId,
    /// The engine's version.
    pub engine_version: String,
    /// When, Unix milliseconds.
    pub decided_ms: i64,
    /// The organisation that was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation_id: Option<OrganisationId>,
    /// What the creator chose, also when the organisation overruled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator_choice: Option<Residency>,
}

impl Decision {
    /// Did the organisation's policy set aside what the creator had chosen?
    #[must_use]
    pub fn overrules_creator(&self) -> bool {
        self.creator_choice
            .is_some_and(|choice| choice != self.residency)
    }
}

/// Decides by one policy; a changed policy is a new engine.
#[derive(Debug, Clone)]
pub struct PolicyEngine {
    policy: Policy,
    clock: SharedClock,
}

impl PolicyEngine {
    /// An engine for this policy.
    ///
    /// # Errors
    /// [`PolicyError`] as of [`Policy::validate`].
    pub fn new(policy: Policy, clock: SharedClock) -> Result<Self, PolicyError> {
        policy.validate()?;
        Ok(Self { policy, clock })
    }

    /// Decides for an upload by a creator of this organisation, if any, who chose this, if anything.
    #[must_use]
    pub fn decide(
        &self,
        organisation: Option<&OrganisationId>,
        creator_choice: Option<Residency>,
    ) -> Decision {
        let (residency, rule_id) = evaluate(&self.policy, organisation, creator_choice);
        Decision {
            residency,
            rule_id,
            engine_version: ENGINE_VERSION.to_owned(),
            decided_ms: self.clock.now_ms(),
            organisation_id: organisation.cloned(),
            creator_choice,
        }
    }
}

/// The rules, in their order.
#[must_use]
pub fn evaluate(
    policy: &Policy,
    organisation: Option<&OrganisationId>,
    creator_choice: Option<Residency>,
) -> (Residency, RuleId) {
    if let Some(residency) = organisation.and_then(|id| policy.organisation.get(id)) {
        return (*residency, RuleId::OrganisationPolicy);
    }
    match creator_choice {
        Some(residency) => (residency, RuleId::CreatorChoice),
        None => (policy.default, RuleId::PlatformDefault),
    }
}
