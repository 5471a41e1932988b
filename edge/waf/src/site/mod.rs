//! A node's rules: loaded by its configuration, one policy a route, replaced while requests run.

mod config;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

pub use config::{RoutePolicyConfig, RulesConfig, WafConfig, own_routes};

use crate::compile::{Loader, beginning};
use crate::error::{LoadError, LoadErrorKind, Notice};
use crate::policy::{Exclusions, Mode, Policy, PolicyError};
use crate::ruleset::RuleSet;
use crate::ticks::Ticks;

/// Why rules are not in force. Those that were, are still.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    /// A mistake in a rule file, with its place.
    #[error("{0}")]
    Rules(#[from] LoadError),
    /// An exclusion of a route that cannot be used.
    #[error("route {route:?}: {error}")]
    Route {
        /// The route.
        route: String,
        /// What is wrong.
        error: PolicyError,
    },
    /// Another thread is loading.
    #[error("rules are being loaded already")]
    Busy,
    /// Loading failed in a way that it should not.
    #[error("loading panicked, or could not begin")]
    Broken,
}

impl SiteError {
    /// Whether loading again, with nothing changed, may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Rules(error) => error.is_retryable(),
            Self::Route { .. } => false,
            Self::Busy | Self::Broken => true,
        }
    }
}

/// What was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Rules, chained ones not counted.
    pub rules: usize,
    /// Routes with a policy of their own.
    pub routes: usize,
    /// Rules that clear plain requests for media; `None` if every one needs all rules.
    pub media_rules: Option<usize>,
    /// What is in the files and does not do what it says, see [`RuleSet::notices`].
    pub notices: Vec<Notice>,
    /// How long it took.
    pub took: Duration,
}

/// The rules in force at one moment.
#[derive(Debug)]
pub struct SiteRules {
    common: Arc<Policy>,
    routes: HashMap<String, Arc<Policy>>,
}

impl SiteRules {
    /// The policy of a route.
    #[must_use]
    pub fn policy(&self, route: &str) -> &Policy {
        self.routes.get(route).unwrap_or(&self.common)
    }
}

/// A node's rules, replaced as a whole.
#[derive(Debug)]
pub struct Site {
    config: WafConfig,
    current: ArcSwapOption<SiteRules>,
    /// Held while rules are loaded.
    loading: Mutex<()>,
}

impl Site {
    /// A site without rules yet.
    #[must_use]
    pub fn new(config: WafConfig) -> Arc<Self> {
        Arc::new(Self {
            config,
            current: ArcSwapOption::empty(),
            loading: Mutex::new(()),
        })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &WafConfig {
        &self.config
    }

    /// The rules in force.
    #[must_use]
    pub fn current(&self) -> Option<Arc<SiteRules>> {
        self.current.load_full()
    }

    /// Asks the rules in force something, at less cost than to hold them.
    pub(crate) fn ask<T>(&self, question: impl FnOnce(&SiteRules) -> T) -> Option<T> {
        let current = self.current.load();
        current.as_deref().map(question)
    }

    /// Reads the files and puts them in force. Blocks for as long as that takes: call it from a thread that may.
    ///
    /// # Errors
    /// The first mistake; what was in force stays.
    pub fn load(&self, ticks: &dyn Ticks) -> Result<Loaded, SiteError> {
        let Some(_alone) = self.loading.try_lock() else {
            return Err(SiteError::Busy);
        };
        let began_us = ticks.now_us();
        let set = load_rules(&self.config.rules)?;
        let rules = policies(&self.config, &set)?;
        let loaded = Loaded {
            rules: set.len(),
            routes: rules.routes.len(),
            media_rules: rules.common.media_rules(),
            notices: set.notices().to_vec(),
            took: Duration::from_micros(ticks.now_us().saturating_sub(began_us)),
        };
        self.current.store(Some(Arc::new(rules)));
        Ok(loaded)
    }
}

fn policies(config: &WafConfig, set: &Arc<RuleSet>) -> Result<SiteRules, SiteError> {
    let build = |route: &str, mode: Mode, exclude: &Exclusions| {
        Policy::new(set, mode, exclude).map_err(|error| SiteError::Route {
            route: route.to_owned(),
            error,
        })
    };
    let common = build("", config.mode, &Exclusions::default())?;
    let routes = config.route.iter().map(|route| {
        let mode = route.mode.unwrap_or(config.mode);
        Ok((
            route.name.clone(),
            build(&route.name, mode, &route.exclude)?,
        ))
    });
    Ok(SiteRules {
        common,
        routes: routes.collect::<Result<_, SiteError>>()?,
    })
}

/// Reads a site's rules: our settings, the operator's text, the files, the operator's text.
///
/// # Errors
/// The first mistake, with its place.
pub fn load_rules(config: &RulesConfig) -> Result<Arc<RuleSet>, LoadError> {
    let here = Path::new(".");
    let mut loader = Loader::new().paranoia_max(config.paranoia);
    loader.text("settings of the node", config.settings().as_bytes(), here)?;
    loader.text("waf.rules.before", config.before.as_bytes(), here)?;
    let own = loader.rules();
    for path in &config.files {
        if path.is_dir() {
            loader.folder(path)?;
        } else {
            loader.file(path)?;
        }
    }
    if let Some(first) = config.files.first()
        && loader.rules() == own
    {
        let name = first.display().to_string();
        return Err(beginning(&name, LoadErrorKind::NoRules));
    }
    loader.text("waf.rules.after", config.after.as_bytes(), here)?;
    loader.compile()
}
