//! What is said between an edge node and a parent beside the request and its answer, in private fields.

use http::{HeaderMap, HeaderName, HeaderValue};

/// In a request: how far the feed's entries are carried out at the child; the parent must be as far.
pub static FEED_POSITION: HeaderName = HeaderName::from_static("x-mcsp-feed-position");
/// In a request: no viewer waits for it.
pub static FETCHED_AHEAD: HeaderName = HeaderName::from_static("x-mcsp-fetched-ahead");
/// In an answer: a [`ParentWord`]. What has none is not a parent's.
pub static PARENT: HeaderName = HeaderName::from_static("x-mcsp-parent");

/// What a parent says of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParentWord {
    /// It had it, or got it by a fetch that was under way.
    Hit,
    /// It asked the origin.
    Miss,
    /// Its origin failed, and this stands in for what it would have said: good for who asked, and not to be kept.
    Stale,
    /// It is not as far with the feed as the child, and did not get there in time.
    Behind,
    /// It has as much to do as it can.
    Busy,
    /// It has no room for what no viewer waits for.
    Later,
    /// It may not give that, or not to this child.
    Refused,
    /// The origin failed, and nothing may stand in.
    Failed,
}

impl ParentWord {
    const ALL: [Self; 8] = [
        Self::Hit,
        Self::Miss,
        Self::Stale,
        Self::Behind,
        Self::Busy,
        Self::Later,
        Self::Refused,
        Self::Failed,
    ];

    /// As in the field, and the label in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Stale => "stale",
            Self::Behind => "behind",
            Self::Busy => "busy",
            Self::Later => "later",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    /// The field's value.
    #[must_use]
    pub fn value(self) -> HeaderValue {
        HeaderValue::from_static(self.as_str())
    }

    /// What an answer's fields say; nothing when it is not a parent's.
    #[must_use]
    pub fn of(fields: &HeaderMap) -> Option<Self> {
        let said = fields.get(&PARENT)?.as_bytes();
        Self::ALL
            .into_iter()
            .find(|word| word.as_str().as_bytes() == said)
    }

    /// Is the answer one to what was asked?
    #[must_use]
    pub fn is_answer(self) -> bool {
        matches!(self, Self::Hit | Self::Miss | Self::Stale)
    }

    /// Is the parent to be left alone for a while if it says so often?
    pub(crate) fn is_fault(self) -> bool {
        matches!(self, Self::Behind | Self::Busy | Self::Refused)
    }
}
