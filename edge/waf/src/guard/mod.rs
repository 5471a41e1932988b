//! Inspection that fails open: no failure of the engine stops a request.
//!
//! A panic, an overrun of the budget and a missing rule set let the request through, are told to the [`Witness`] and count towards
//! a breaker; while that is open requests pass without inspection, and one at a time tries whether it works again. One client's
//! requests alone do not open it. What finds no turn on the threads beside the workers is let through and told as well. All that
//! is let through is counted, and has an event, up to so many a second.

mod breaker;
mod request;
mod sample;
mod witness;

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

pub use breaker::{BreakerConfig, BreakerState};
pub use request::{Guarded, RequestLine, Verdict};
pub use witness::{FailedOpen, FailureKind, Unfinished, Witness};

use breaker::{Admission, Breaker, Probe};
use sample::{Reason, Sampler};

use crate::lane::MediaHead;
use crate::site::{Loaded, Site, SiteError};
use crate::ticks::Ticks;
use crate::transaction::{Client, Environment, Transaction};

/// Begins inspections. One for all workers.
#[derive(Debug)]
pub struct Guard {
    site: Arc<Site>,
    environment: Arc<Environment>,
    breaker: Arc<Breaker>,
    ticks: Arc<dyn Ticks>,
    witness: Arc<dyn Witness>,
    sampler: Sampler,
}

impl Guard {
    /// A guard over a site's rules. `ticks` is the breaker's clock; the budget's is the environment's.
    #[must_use]
    pub fn new(
        site: Arc<Site>,
        environment: Arc<Environment>,
        breaker: BreakerConfig,
        ticks: Arc<dyn Ticks>,
        witness: Arc<dyn Witness>,
    ) -> Arc<Self> {
        Arc::new(Self {
            site,
            environment,
            breaker: Breaker::new(breaker),
            ticks,
            witness,
            sampler: Sampler::default(),
        })
    }

    /// The rules in force.
    #[must_use]
    pub fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// What the breaker does.
    #[must_use]
    pub fn breaker(&self) -> BreakerState {
        self.breaker.state()
    }

    /// Begins the inspection of a request on a route.
    #[must_use]
    pub fn begin(self: &Arc<Self>, route: &str, client: Client) -> Guarded {
        let Some(rules) = self.site.current() else {
            let probe = match self.breaker.admit(self.ticks.now_us(), None) {
                Admission::No => return self.bypass(route, &client),
                Admission::Yes => None,
                Admission::Probe(probe) => Some(probe),
            };
            // Nobody's fault.
            let mut guarded = Guarded::new(self.clone(), route, Some(&client), probe);
            guarded.unloaded();
            return guarded;
        };
        let policy = rules.policy(route);
        if policy.is_off() {
            return Guarded::new(self.clone(), route, None, None);
        }
        let probe = match self
            .breaker
            .admit(self.ticks.now_us(), Some(client.address))
        {
            Admission::No => return self.bypass(route, &client),
            Admission::Yes => None,
            Admission::Probe(probe) => Some(probe),
        };
        let environment = &self.environment;
        let mut guarded = Guarded::new(self.clone(), route, Some(&client), probe);
        guarded.start(|| Transaction::under(policy, environment, client));
        guarded
    }

    /// Whether a request for media needs no inspection beyond this, see [`crate::Policy::clears_media`]. A failure says that it
    /// does, and is left to [`Self::begin`] to be told.
    #[must_use]
    pub fn clears_media(&self, route: &str, head: &MediaHead<'_>) -> bool {
        if self.breaker.state() == BreakerState::Open {
            return false;
        }
        let clears = || {
            self.site
                .ask(|rules| rules.policy(route).clears_media(head))
        };
        let cleared = catch_unwind(AssertUnwindSafe(clears));
        matches!(cleared, Ok(Some(true)))
    }

    /// Loads the site's rules, tells the witness, and lets everybody try them. Blocks for as long as that takes.
    ///
    /// # Errors
    /// The first mistake; what was in force stays.
    pub fn load(&self) -> Result<Loaded, SiteError> {
        let loading = catch_unwind(AssertUnwindSafe(|| self.site.load(&*self.ticks)));
        let outcome = loading.unwrap_or(Err(SiteError::Broken));
        self.witness.loaded(outcome.as_ref());
        if outcome.is_ok() && self.breaker.state() == BreakerState::Open {
            self.breaker.close();
            self.witness.breaker(BreakerState::Closed);
        }
        outcome
    }

    /// [`Self::load`] on a thread of its own, so that no request waits for it.
    ///
    /// # Errors
    /// The system gives no thread; the witness is told.
    pub fn load_in_background(
        self: &Arc<Self>,
    ) -> Result<JoinHandle<Result<Loaded, SiteError>>, SiteError> {
        let guard = self.clone();
        let thread = std::thread::Builder::new().name("waf-load".to_owned());
        thread.spawn(move || guard.load()).map_err(|_| {
            self.witness.loaded(Err(&SiteError::Broken));
            SiteError::Broken
        })
    }

    fn bypass(self: &Arc<Self>, route: &str, client: &Client) -> Guarded {
        self.witness.bypassed(route, &client.id);
        let mut guarded = Guarded::new(self.clone(), route, Some(client), None);
        guarded.bypassed();
        guarded
    }

    /// Whether a request that was let through has an event: if so, how many had none since the last.
    fn sample(&self, reason: Reason) -> Option<u64> {
        self.sampler.take(reason, self.ticks.now_us())
    }

    /// `whose`: the try that it was, if it was one, and the client whose request it is, unless it is nobody's fault.
    fn fail(
        &self,
        kind: FailureKind,
        route: &str,
        id: &str,
        detail: String,
        whose: (Option<Probe>, Option<IpAddr>),
    ) {
        self.witness.failed_open(&FailedOpen {
            kind,
            route,
            id,
            detail,
        });
        // The engine is neither broken nor late: to give up what workers still inspect would help nobody, and clients enough could
        // bring it about. A try says nothing then.
        if matches!(kind, FailureKind::Overload | FailureKind::Lost) {
            return;
        }
        let now_us = self.ticks.now_us();
        match whose {
            (Some(probe), client) => probe.failed(now_us, client),
            (None, client) if self.breaker.failed(now_us, client) => {
                self.witness.breaker(BreakerState::Open);
            }
            (None, _) => {}
        }
    }

    fn succeed(&self, probe: Probe) {
        if probe.succeeded() {
            self.witness.breaker(BreakerState::Closed);
        }
    }
}
