//! Who is told what a guard does; a node logs it, counts it and alerts.

use std::fmt;

use super::BreakerState;
use crate::site::Loaded;
use crate::site::SiteError;

/// Why a request was let through without all its rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The engine panicked.
    Panic,
    /// The rules took longer, or more memory, than their budget.
    Overrun,
    /// There is no rule set.
    Unloaded,
    /// The threads on which it was to be inspected have too much to do.
    Overload,
    /// It was lost with the thread on which it was inspected.
    Lost,
}

impl FailureKind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Panic,
        Self::Overrun,
        Self::Unloaded,
        Self::Overload,
        Self::Lost,
    ];

    /// Its name in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Overrun => "overrun",
            Self::Unloaded => "unloaded",
            Self::Overload => "overload",
            Self::Lost => "lost",
        }
    }
}

/// A request that was let through.
#[derive(Debug, Clone)]
pub struct FailedOpen<'a> {
    /// Why.
    pub kind: FailureKind,
    /// Its route.
    pub route: &'a str,
    /// Its transaction's id; empty where none began.
    pub id: &'a str,
    /// What the engine said.
    pub detail: String,
}

/// A rule that gave up on a value, since its pattern took all the steps that it may: to the rule the value does not match.
#[derive(Debug, Clone, Copy)]
pub struct Unfinished<'a> {
    /// The rule's id.
    pub rule: u64,
    /// The request's route.
    pub route: &'a str,
    /// Its transaction's id.
    pub id: &'a str,
}

/// Told of everything that is not a verdict. Calls come from requests and must not wait.
pub trait Witness: Send + Sync + fmt::Debug {
    /// A request was let through because inspection failed.
    fn failed_open(&self, failure: &FailedOpen<'_>);

    /// A request was let through because the breaker was open: its route, and its id.
    fn bypassed(&self, route: &str, id: &str);

    /// A rule gave up on a value; once for each rule of a request.
    fn unfinished(&self, unfinished: &Unfinished<'_>);

    /// The breaker opened or closed.
    fn breaker(&self, state: BreakerState);

    /// A rule set was read, and is in force or is not.
    fn loaded(&self, outcome: Result<&Loaded, &SiteError>);
}
