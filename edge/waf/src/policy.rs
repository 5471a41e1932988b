//! What a route makes of a rule set: which rules and targets it leaves out, and whether it blocks.
//!
//! Policies of one set share its compiled rules; each has a mask of its own.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::LoadErrorKind;
use crate::lane::{Lane, MediaHead};
use crate::lang::actions::id_ranges;
use crate::lang::ast::{EngineMode, RuleSelector};
use crate::lang::variables::{Selector, Target, parse_targets};
use crate::pattern::Pattern;
use crate::ruleset::{Member, RuleMask, RuleSet, TargetRemoval, Which};

/// What is done with what rules say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// No rule runs.
    Off,
    /// Rules run and report.
    Detect,
    /// Rules run, report and refuse.
    Block,
}

/// Rules that a route goes without.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exclusions {
    /// Rules by id, or by range: `942100`, `942000-942999`. Default none.
    pub ids: Vec<String>,
    /// Rules that have a tag with this text in it. Default none.
    pub tags: Vec<String>,
    /// Parts of requests that some rules do not look at. Default none.
    pub targets: Vec<TargetExclusion>,
}

/// Parts of requests that some rules do not look at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetExclusion {
    /// Rules by id, or by range. Default none.
    pub ids: Vec<String>,
    /// Rules that have a tag with this text in it. Default none.
    pub tags: Vec<String>,
    /// What they do not look at, as rules name it: `ARGS:password`, `REQUEST_COOKIES:/^pref/`. At least one.
    pub targets: Vec<String>,
}

/// An exclusion that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("exclusion {text:?}: {kind}")]
pub struct PolicyError {
    /// What was written.
    pub text: String,
    /// What is wrong with it.
    pub kind: LoadErrorKind,
}

/// A rule set as a route applies it. Cheap to share; never changes.
#[derive(Debug)]
pub struct Policy {
    pub(crate) set: Arc<RuleSet>,
    pub(crate) engine: EngineMode,
    pub(crate) removed: RuleMask,
    pub(crate) removals: Vec<Arc<TargetRemoval>>,
    lane: Option<Lane>,
}

impl Policy {
    /// The set as its files have it.
    #[must_use]
    pub fn plain(set: &Arc<RuleSet>) -> Arc<Self> {
        Self::build(set, set.settings.engine, RuleMask::default(), Vec::new())
    }

    /// The set in a mode and without what is excluded.
    ///
    /// # Errors
    /// The first exclusion that is not written as rules are.
    pub fn new(
        set: &Arc<RuleSet>,
        mode: Mode,
        exclusions: &Exclusions,
    ) -> Result<Arc<Self>, PolicyError> {
        let mut removed = RuleMask::default();
        for rules in selectors(&exclusions.ids, &exclusions.tags)? {
            removed.extend(&set.mask(&rules));
        }
        let mut removals = Vec::new();
        for exclusion in &exclusions.targets {
            let mut rules = RuleMask::default();
            for selector in selectors(&exclusion.ids, &exclusion.tags)? {
                rules.extend(&set.mask(&selector));
            }
            let mut members = Vec::new();
            for text in &exclusion.targets {
                let targets = parse_targets(text).map_err(|(_, kind)| error(text, kind))?;
                for (_, target) in targets {
                    members.push(member(target).map_err(|kind| error(text, kind))?);
                }
            }
            removals.push(Arc::new(TargetRemoval { rules, members }));
        }
        let engine = match mode {
            Mode::Off => EngineMode::Off,
            Mode::Detect => EngineMode::DetectionOnly,
            Mode::Block => EngineMode::On,
        };
        Ok(Self::build(set, engine, removed, removals))
    }

    fn build(
        set: &Arc<RuleSet>,
        engine: EngineMode,
        removed: RuleMask,
        removals: Vec<Arc<TargetRemoval>>,
    ) -> Arc<Self> {
        let mut policy = Self {
            set: set.clone(),
            engine,
            removed,
            removals,
            lane: None,
        };
        policy.lane = Lane::derive(&policy);
        Arc::new(policy)
    }

    /// Whether no rule runs.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.engine == EngineMode::Off
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &RuleSet {
        &self.set
    }

    /// Whether a request for media is cleared by what its head says of the client, without a transaction. `false` says nothing
    /// against it: it needs every rule. What is asked of the rest of the request, see [`MediaHead::of_fields`].
    #[must_use]
    pub fn clears_media(&self, head: &MediaHead<'_>) -> bool {
        self.is_off()
            || self
                .lane
                .as_ref()
                .is_some_and(|lane| lane.clears(&self.set, head))
    }

    /// How many rules [`Self::clears_media`] tries; `None` if every request for media needs every rule.
    #[must_use]
    pub fn media_rules(&self) -> Option<usize> {
        self.lane.as_ref().map(Lane::len)
    }
}

fn error(text: &str, kind: LoadErrorKind) -> PolicyError {
    PolicyError {
        text: text.to_owned(),
        kind,
    }
}

fn selectors(ids: &[String], tags: &[String]) -> Result<Vec<RuleSelector>, PolicyError> {
    let ids = ids.iter().map(|text| {
        let ranges = id_ranges(text).map_err(|kind| error(text, kind))?;
        Ok(RuleSelector::Ids(ranges))
    });
    let tags = tags.iter().map(|tag| match tag.is_empty() {
        false => Ok(RuleSelector::Tag(tag.clone())),
        true => Err(error(
            tag,
            LoadErrorKind::BadValue {
                what: "tag",
                value: String::new(),
                expected: "a part of a tag",
            },
        )),
    });
    ids.chain(tags).collect()
}

fn member(target: Target) -> Result<Member, LoadErrorKind> {
    let which = match target.selector {
        Selector::All => Which::All,
        Selector::Key(key) => Which::Key(key.to_ascii_lowercase().into_bytes().into()),
        Selector::Pattern(source) => {
            let pattern =
                Pattern::compile(&format!("(?i){source}")).map_err(LoadErrorKind::BadPattern)?;
            Which::Pattern(Arc::new(pattern))
        }
    };
    Ok(Member {
        variable: target.variable,
        which,
        count: false,
    })
}
