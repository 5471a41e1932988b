//! How a connection ended.

use crate::refusal::Refusal;

/// A connection that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Why.
    pub reason: CloseReason,
    /// Requests that reached the handler.
    pub requests: u32,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client ended it between two requests.
    Client,
    /// The client ended it within a head.
    Truncated,
    /// No request came in time.
    Idle,
    /// The node ends.
    Stopped,
    /// A request was refused.
    Refused(Refusal),
    /// The last answer said that it would end.
    Answered,
    /// A request body that nobody read is too long, or did not come.
    Body,
    /// An answer was begun and not finished: the client is gone or too slow, or what it was made from failed.
    Cut,
    /// The handler wanted it gone without an answer.
    Dropped,
    /// The handler answered nothing.
    Failed,
    /// Whoever a request was left to ended it.
    Delegated,
}

impl CloseReason {
    /// A short name for metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Truncated => "truncated",
            Self::Idle => "idle",
            Self::Stopped => "stopped",
            Self::Refused(_) => "refused",
            Self::Answered => "answered",
            Self::Body => "body",
            Self::Cut => "cut",
            Self::Dropped => "dropped",
            Self::Failed => "failed",
            Self::Delegated => "delegated",
        }
    }
}
