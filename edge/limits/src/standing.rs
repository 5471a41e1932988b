//! How a client stands with a limit.

use crate::class::{Class, Scope};

/// What is left of one limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Of which requests.
    pub class: Class,
    /// By what they are counted.
    pub scope: Scope,
    /// Requests at once.
    pub quota: u32,
    /// In which a spent quota is whole again, seconds; at least 1.
    pub window_s: u32,
    /// Requests that could be made now.
    pub remaining: u32,
    /// Until the quota is whole again, or, where nothing is left, until there is one more; seconds.
    pub reset_s: u32,
}

impl Standing {
    /// Is less of this left, by its own measure?
    pub(crate) fn is_tighter_than(&self, other: &Self) -> bool {
        let cross = |a: u32, b: u32| u64::from(a) * u64::from(b);
        cross(self.remaining, other.quota) < cross(other.remaining, self.quota)
    }

    /// The tighter of two.
    #[must_use]
    pub fn tighter(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) if other.is_tighter_than(&one) => Some(other),
            (None, other) => other,
            (one, _) => one,
        }
    }
}

/// A request that may not be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The limit, with nothing left.
    pub standing: Standing,
}

impl Refusal {
    /// `Retry-After`, seconds; at least 1.
    #[must_use]
    pub fn retry_after_s(&self) -> u32 {
        self.standing.reset_s.max(1)
    }

    /// A word for logs and `Cache-Status`: by what the client was counted.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self.standing.scope {
            Scope::Address => "rate-address",
            Scope::Aggregate => "rate-aggregate",
            Scope::User => "rate-user",
            Scope::Token => "rate-token",
            Scope::Account => "rate-account",
            Scope::Pop => "rate-pop",
        }
    }
}
