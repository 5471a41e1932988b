//! The firewall in a request's life: what is inspected where, what a refusal is answered with, and who hears of it.
//!
//! It fails open: [`mcsp_edge_waf::Guard`] lets a request pass when inspection fails, and the [`Witness`] counts it and alerts.
//! What takes long is done beside the workers, and who cannot have a turn there is answered by whose fault that is. Requests of other nodes of ours are not inspected; the node that their viewer asked has done that. What HTTP/1.1 refuses on the
//! wire is shown to the rules for their event, and stays refused.

mod audit;
mod beside;
mod inspection;
mod refused;
mod stage;
#[cfg(test)]
mod tests;
mod witness;

use std::io;
use std::sync::Arc;

use mcsp_edge_waf::{
    Beside, BreakerState, Collections, Environment, Guard, Loaded, MonotonicTicks, Site, SiteError,
    ThreadTicks, WafConfig,
};
use prometheus::Registry;
use serde::Serialize;

pub(crate) use inspection::Inspection;
pub(crate) use refused::{see as see_refused, see_request as see_refused_request, tell_malformed};
pub(crate) use stage::{foresee, run};

use crate::access_log::AccessLog;
use audit::Audit;
use witness::{Telling, WafMetrics};

/// The node's firewall.
#[derive(Debug)]
pub struct Firewall {
    guard: Arc<Guard>,
    /// Threads for what is long; absent: workers do it.
    beside: Option<Beside>,
    audit: Audit,
    metrics: WafMetrics,
}

/// How the firewall stands, for an operator.
#[derive(Debug, Clone, Serialize)]
pub struct FirewallState {
    /// Rules in force, chained ones not counted; absent: none are, and requests pass.
    pub rules: Option<usize>,
    /// Rules that clear ordinary requests for media; absent: such requests pass all rules.
    pub media_rules: Option<usize>,
    /// Whether inspection is given up for a while, since it failed too often.
    pub is_given_up: bool,
}

/// Why there is no firewall.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// A value outside its range.
    #[error("waf.{0}")]
    Value(#[from] mcsp_edge_waf::LimitError),
    /// The metrics are registered already.
    #[error("waf metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// There are no threads for what is long.
    #[error("waf.beside.threads: {0}")]
    Threads(#[source] io::Error),
    /// The audit file cannot be opened.
    #[error("waf.audit_file {path}: {source}")]
    Audit {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

impl Firewall {
    /// A firewall without rules yet; none if the configuration names none. `log` takes events that have no file of their own.
    ///
    /// # Errors
    /// A value that cannot be used.
    pub fn new(
        config: &WafConfig,
        log: Option<AccessLog>,
        registry: &Registry,
    ) -> Result<Option<Arc<Self>>, FirewallError> {
        config.validate()?;
        if !config.is_in_use() {
            return Ok(None);
        }
        let metrics = WafMetrics::register(registry)?;
        let effort = Arc::new(ThreadTicks);
        let ticks = Arc::new(MonotonicTicks::default());
        let environment = Arc::new(Environment {
            limits: config.limits.clone(),
            ticks: ticks.clone(),
            effort: effort.clone(),
            collections: Collections::new(config.counters_max),
        });
        let witness = Arc::new(Telling::new(metrics.clone(), ticks.clone()));
        let breaker = config.breaker.clone();
        let audit = Audit::new(config.audit_file.as_deref(), log);
        let site = Site::new(config.clone());
        Ok(Some(Arc::new(Self {
            guard: Guard::new(site, environment, breaker, ticks, witness),
            beside: Beside::start(&config.beside, effort).map_err(FirewallError::Threads)?,
            audit,
            metrics,
        })))
    }

    /// Opens the audit file, if there is to be one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn open_audit(&self) -> Result<(), FirewallError> {
        self.audit.open()
    }

    /// Loads the rules and puts them in force. Blocks for as long as that takes, a second or so.
    ///
    /// # Errors
    /// The first mistake, with its file, line and column; the rules before stay in force.
    pub fn load(&self) -> Result<Loaded, SiteError> {
        self.guard.load()
    }

    /// [`Self::load`] on a thread of its own; what comes of it is logged and counted.
    pub fn reload(&self) {
        // No thread to be had is told as well.
        let _ = self.guard.load_in_background();
    }

    /// How it stands.
    #[must_use]
    pub fn state(&self) -> FirewallState {
        let current = self.guard.site().current();
        let policy = current.as_ref().map(|rules| rules.policy(""));
        FirewallState {
            rules: policy.map(|policy| policy.rules().len()),
            media_rules: policy.and_then(mcsp_edge_waf::Policy::media_rules),
            is_given_up: self.guard.breaker() == BreakerState::Open,
        }
    }
}
