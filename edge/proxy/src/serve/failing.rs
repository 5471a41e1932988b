//! Fetches that come to nothing: what those learn who waited for one, and when an origin is not asked at all.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use mcsp_edge_cache::engine::{Entity, FailureKind, FetchFailure, Key, KeyHash, Lead};
use mcsp_edge_fetch::{FetchError, FetchErrorKind};

use super::answering;
use super::client::{ClientStream, SendFault};
use super::errand::Errand;
use super::flow::Flow;
use super::life;
use super::slices;

/// An origin that cannot be reached fails all alike.
pub(super) const UNREACHABLE: FetchFailure = FetchFailure {
    kind: FailureKind::Unreachable,
    may_be_the_requests: false,
};

const LEFT_ALONE: FetchFailure = FetchFailure {
    kind: FailureKind::LeftAlone,
    may_be_the_requests: false,
};

/// How an origin failed that gave no answer.
pub(super) fn kind_of(error: &FetchError) -> FailureKind {
    use FetchErrorKind::{Connect, ConnectTimeout, NoAddress, Overloaded, Tls};
    match error.kind {
        Connect | ConnectTimeout | NoAddress | Tls => FailureKind::Unreachable,
        Overloaded => FailureKind::Overloaded,
        _ if error.is_timeout() => FailureKind::TimedOut,
        _ => FailureKind::Unusable,
    }
}

impl Errand {
    /// What those learn who waited for a fetch that `error` ended. Our own origins are asked alike for all; another's may
    /// have stumbled over what this client sent it.
    pub(super) fn failure(&self, error: &FetchError) -> FetchFailure {
        use FetchErrorKind::{Overloaded, Protocol, Request, Reset, Truncated};
        let is_about_the_request =
            matches!(error.kind, Request | Reset | Truncated | Protocol(_)) && self.is_foreign;
        // What no viewer waited for is turned away first.
        let is_about_its_rank = error.kind == Overloaded && self.is_ahead;
        FetchFailure {
            kind: kind_of(error),
            may_be_the_requests: is_about_the_request || is_about_its_rank,
        }
    }

    /// The same for an answer that is not kept and says that the origin failed.
    pub(super) fn failure_told(&self, status: StatusCode) -> Option<FetchFailure> {
        let kind = match status {
            StatusCode::SERVICE_UNAVAILABLE => FailureKind::Overloaded,
            StatusCode::GATEWAY_TIMEOUT => FailureKind::TimedOut,
            _ if status.is_server_error() => FailureKind::Unusable,
            _ => return None,
        };
        Some(FetchFailure {
            kind,
            may_be_the_requests: self.is_foreign || self.is_ahead,
        })
    }

    /// Counts a fetch that failed for whoever had asked, so that the origin is left alone where there are many.
    pub(super) fn note_failure(&self, error: &FetchError, failure: FetchFailure) {
        if !failure.may_be_the_requests && error.kind != FetchErrorKind::Overloaded {
            let key = Key::new(&self.target_uri).hash();
            self.edge.setbacks.note(key, self.edge.clock.now_ms());
        }
    }
}

impl<C: ClientStream> Flow<'_, C> {
    /// The right to fetch, unless the origin is to be left alone: then nothing, and all who wait know.
    pub(super) fn unless_left_alone(&self, lead: Lead) -> Option<Lead> {
        let key = Key::new(self.asking.key).hash();
        if !self.is_left_alone(key, "fetch") {
            return Some(lead);
        }
        lead.fail(LEFT_ALONE);
        None
    }

    /// Has an object's origin failed so often just now that it is not asked for it? Then `what` it is not asked is counted.
    pub(super) fn is_left_alone(&self, key: KeyHash, what: &str) -> bool {
        let is_left_alone = self.edge.setbacks.are_many(key, self.edge.clock.now_ms());
        if is_left_alone {
            self.edge.metrics.left_alone(what);
        }
        is_left_alone
    }

    /// May this client ask for himself what is missing of a body? Where its origin broke it off, or failed a moment ago to give
    /// the rest, each who does counts as one more that it might fail.
    pub(super) fn may_ask_alone(&self, entity: &Entity) -> bool {
        let key = entity.key().hash();
        if self.is_left_alone(key, "rest") {
            return false;
        }
        let (setbacks, now_ms) = (&self.edge.setbacks, self.edge.clock.now_ms());
        if slices::was_cut(entity) || setbacks.are_any(key, now_ms) {
            setbacks.note(key, now_ms);
        }
        true
    }

    /// The origin is left alone.
    pub(super) async fn fail_untried(&mut self) -> Result<(), SendFault> {
        self.fail_as(LEFT_ALONE.kind).await
    }

    /// The fetch that was waited for failed, and no other is worth it.
    pub(super) async fn fail_with_others(&mut self, kind: FailureKind) -> Result<(), SendFault> {
        let counter = &self.edge.metrics.failures_shared;
        counter.with_label_values(&[kind.as_str()]).inc();
        self.fail_as(kind).await
    }

    /// What is held stands in, if it may.
    pub(super) async fn fail_as(&mut self, kind: FailureKind) -> Result<(), SendFault> {
        match self.stale.take().filter(|stale| self.stands_in(stale)) {
            Some(stale) => Box::pin(self.cover(&stale, Duration::ZERO)).await,
            None => self.fail(answering::of_kind(kind)).await,
        }
    }

    /// RFC 5861 section 4.
    pub(super) fn stands_in(&self, stale: &Arc<Entity>) -> bool {
        let freshness = life::in_force(stale, &life::freshness_of(&stale.head().lifetimes));
        !stale.is_purged() && freshness.may_cover_failure(self.edge.clock.now_ms())
    }
}
