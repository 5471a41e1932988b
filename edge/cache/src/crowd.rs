//! What those learn who waited for a fetch that came to nothing, and how many of them may lead one in its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many of those who wait for one fetch may lead another after it, one after the other. With each of them asking for
/// himself, an origin that is down would be asked most when it can least bear it.
const ELECTIONS_MAX: u32 = 2;

/// How a fetch failed, as a gateway tells it (RFC 9110 section 15.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The origin cannot be reached.
    Unreachable,
    /// It has more to do than it can, or says so.
    Overloaded,
    /// It did not answer in time.
    TimedOut,
    /// It gave no usable answer.
    Unusable,
    /// It failed so often a moment ago that it was not asked.
    LeftAlone,
}

impl FailureKind {
    /// A label for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Overloaded => "overloaded",
            Self::TimedOut => "timed_out",
            Self::Unusable => "unusable",
            Self::LeftAlone => "left_alone",
        }
    }
}

/// Why a fetch came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchFailure {
    /// How it failed.
    pub kind: FailureKind,
    /// Might another request for the same key fare better at once? Then one of those who wait may find out.
    pub may_be_the_requests: bool,
}

/// All who wait for one fetch and for those that take its place. Clones are the same crowd.
#[derive(Debug, Clone, Default)]
pub(crate) struct Crowd(Arc<AtomicU32>);

impl Crowd {
    /// May one more of them lead?
    pub(crate) fn elects(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |elected| {
                (elected < ELECTIONS_MAX).then_some(elected + 1)
            })
            .is_ok()
    }
}

/// One's place in a crowd that waited in vain; see [`crate::engine::Cache::join_again`].
#[derive(Debug, Clone)]
pub struct InVain {
    pub(crate) crowd: Crowd,
    /// The fetch that is still under way and was waited for long enough.
    pub(crate) overdue: Option<u64>,
}
