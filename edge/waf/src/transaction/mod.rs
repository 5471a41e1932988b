//! One request and its response on their way through the rules.
//!
//! Phases run in order: request head (1), request body (2), response head (3), response body (4), logging (5). A caller that
//! skips one skips its rules.

mod budget;
mod closing;
mod dynamic;
mod effects;
mod inputs;
mod intake;
mod removals;
mod report;
mod run;
mod store;
mod text;
mod trace;
mod unfinished;
mod units;
pub(crate) mod values;
pub(crate) mod vars;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::body::Processor;
use crate::body::coding::Decoder;
use crate::collections::Collections;
use crate::lang::ast::EngineMode;
use crate::lang::variables::Variable;
use crate::limits::Limits;
use crate::policy::Policy;
use crate::ruleset::{RuleMask, RuleSet};
use crate::ticks::Ticks;
use crate::verdict::{Block, Outcome, RuleMatch};

use budget::Spent;
use removals::Removals;
use store::Store;
pub(crate) use store::is_stored;
pub(crate) use trace::Step;
use unfinished::Unfinished;
use units::Units;
use values::{ValueId, Values};
use vars::Vars;

/// What all transactions of a node share beside the rules.
#[derive(Debug)]
pub struct Environment {
    /// Bounds.
    pub limits: Limits,
    /// Time by the clock: cheap to ask, and as long as it is within the budget nobody need ask the other.
    pub ticks: Arc<dyn Ticks>,
    /// What the budget is of: processor time of the thread that runs the rules. It runs no faster than `ticks`.
    pub effort: Arc<dyn Ticks>,
    /// Counters that outlive a transaction.
    pub collections: Collections,
}

/// Transaction variables by which rules ask what a client's connection tells: its TLS fingerprint (JA4), its autonomous system's
/// number, and what its network is known for (`TX:ja4`, `TX:asn`, `TX:network`).
pub const SIGNALS: [&str; 3] = ["ja4", "asn", "network"];

/// Whose request it is.
#[derive(Debug, Clone)]
pub struct Client {
    /// The client's address.
    pub address: IpAddr,
    /// Its port; 0 if not known.
    pub port: u16,
    /// The address it connected to.
    pub server: IpAddr,
    /// The port it connected to.
    pub server_port: u16,
    /// Its country, ISO 3166-1 alpha-2, if known.
    pub country: Option<String>,
    /// What its connection tells of it, in the order of [`SIGNALS`]; empty for what is not known.
    pub signals: [String; SIGNALS.len()],
    /// The transaction's id, unpredictable to the client.
    pub id: String,
    /// When the request began, milliseconds since the Unix epoch.
    pub now_ms: i64,
}

/// A transaction.
#[derive(Debug)]
pub struct Transaction {
    set: Arc<RuleSet>,
    environment: Arc<Environment>,
    client: Client,
    values: Values,
    store: Store,
    vars: Vars,
    units: Units,
    engine: EngineMode,
    audit: bool,
    processor: Option<Processor>,
    /// The last field of that name.
    content_type: Option<ValueId>,
    force_request_body: bool,
    request_body_access: bool,
    response_body_access: bool,
    request_body: Vec<u8>,
    response_body: Vec<u8>,
    /// Of a response whose body is coded.
    response_decoder: Option<Decoder>,
    /// Its codings are not known.
    is_response_unreadable: bool,
    body_cut: bool,
    arguments: usize,
    removed: RuleMask,
    removals: Removals,
    /// What the rule that runs has matched, and what the one before it in its chain had.
    matched: Vec<Matched>,
    matched_before: Vec<Matched>,
    opened: Vec<(Variable, Box<[u8]>)>,
    matches: Vec<RuleMatch>,
    matches_left_out: usize,
    highest_severity: u8,
    blocked: Option<Block>,
    enforced: bool,
    allowed_through: u8,
    overrun: bool,
    unfinished: Unfinished,
    /// Set by somebody else once nobody waits for what comes of rules.
    left: Option<Arc<AtomicBool>>,
    ended_early: bool,
    /// What rules were given to look at, bytes.
    given: usize,
    spent: Spent,
    status: Option<u16>,
    body_error: Option<String>,
    /// What each chain came to, if somebody asked for it beforehand.
    trace: Option<Vec<trace::Step>>,
}

/// A value that matched.
#[derive(Debug, Clone)]
struct Matched {
    variable: Variable,
    name: Option<Box<[u8]>>,
    value: Box<[u8]>,
}

impl Transaction {
    /// A transaction in which nothing has been looked at, under a set as its files have it.
    #[must_use]
    pub fn new(set: &Arc<RuleSet>, environment: &Arc<Environment>, client: Client) -> Self {
        Self::begin(set, environment, client)
    }

    /// A transaction in which nothing has been looked at, under a route's policy.
    #[must_use]
    pub fn under(policy: &Policy, environment: &Arc<Environment>, client: Client) -> Self {
        let mut transaction = Self::begin(&policy.set, environment, client);
        transaction.engine = policy.engine;
        transaction.removed = policy.removed.clone();
        transaction.removals = Removals::of(&policy.removals);
        transaction
    }

    fn begin(set: &Arc<RuleSet>, environment: &Arc<Environment>, client: Client) -> Self {
        let limits = &environment.limits;
        let values = Values::new(set, limits.scratch_bytes_max);
        let mut vars = Vars::default();
        vars.reset(set.names.list.len(), limits.variables_max);
        let mut transaction = Self {
            set: set.clone(),
            environment: environment.clone(),
            client,
            values,
            store: Store::default(),
            vars,
            units: Units::default(),
            engine: set.settings.engine,
            audit: true,
            processor: None,
            content_type: None,
            force_request_body: false,
            request_body_access: set.settings.request_body,
            response_body_access: set.settings.response_body,
            request_body: Vec::new(),
            response_body: Vec::new(),
            response_decoder: None,
            is_response_unreadable: false,
            body_cut: false,
            arguments: 0,
            removed: RuleMask::default(),
            removals: Removals::default(),
            matched: Vec::new(),
            matched_before: Vec::new(),
            opened: Vec::new(),
            matches: Vec::new(),
            matches_left_out: 0,
            highest_severity: u8::MAX,
            blocked: None,
            enforced: false,
            allowed_through: 0,
            overrun: false,
            unfinished: Unfinished::default(),
            left: None,
            ended_early: false,
            given: 0,
            spent: Spent::default(),
            status: None,
            body_error: None,
            trace: None,
        };
        transaction.describe_client();
        transaction
    }

    /// Whether the request's body is to be handed over; ask after its head. One that nothing reads is not wanted: of a type without a
    /// processor, where no rule wants it as text or asks for its length.
    #[must_use]
    pub fn wants_request_body(&self) -> bool {
        let asks = |head: &u32| !self.removed.contains(*head);
        self.is_active()
            && self.request_body_access
            && self.environment.limits.request_body_bytes_max > 0
            && (self.processor.is_some()
                || self.force_request_body
                || self.set.asks_body_length.iter().any(asks))
    }

    /// Whether the response's body is to be handed over; ask after its head.
    #[must_use]
    pub fn wants_response_body(&self) -> bool {
        let content_type = self.scalar(Variable::ResponseContentType);
        self.is_active() && self.response_body_access && self.set.wants_response_body(content_type)
    }

    /// Bytes of the request's body that rules are going to see, once it is done.
    #[must_use]
    pub fn request_body_bytes(&self) -> usize {
        if self.is_active() {
            self.request_body.len()
        } else {
            0
        }
    }

    /// The same of the response's body.
    #[must_use]
    pub fn response_body_bytes(&self) -> usize {
        let decoded = self.response_decoder.as_ref();
        let bytes = decoded.map_or(self.response_body.len(), |decoder| decoder.bytes().len());
        if self.is_active() { bytes } else { 0 }
    }

    fn is_active(&self) -> bool {
        self.engine != EngineMode::Off && !self.overrun && !self.is_blocked()
    }

    fn is_blocked(&self) -> bool {
        self.enforced && self.blocked.is_some()
    }

    fn outcome(&self) -> Outcome {
        match &self.blocked {
            // What was decided in time is not undone by what it took.
            Some(block) if self.enforced => Outcome::Block(block.clone()),
            _ if self.overrun => Outcome::Overrun,
            _ => Outcome::Pass,
        }
    }

    /// The value of a plain variable, empty if it has none.
    fn scalar(&self, variable: Variable) -> &[u8] {
        self.store
            .list(variable)
            .first()
            .map(|entry| self.values.get(entry.value))
            .unwrap_or_default()
    }
}
