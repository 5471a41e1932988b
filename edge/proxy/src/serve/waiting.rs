//! For how long a viewer waits for an origin's word on what is held for him already, where he would be given that all the same
//! if the origin failed. What may stand in, and for how long, is not decided here: only when an origin that has said nothing
//! counts as one that failed.

use std::sync::Arc;
use std::time::Duration;

use mcsp_edge_cache::engine::{Entity, FailureKind, Follow};
use mcsp_edge_fetch::{FetchError, Response};
use mcsp_edge_policy::cache_status::Forward;
use tokio::time::Instant;

use super::client::{ClientStream, SendFault};
use super::errand::Errand;
use super::failing::kind_of;
use super::flow::Flow;
use crate::edge::Edge;
use crate::outage::Outage;
use crate::shield::is_stand_in;

/// How long is waited.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    began: Instant,
    /// The same, Unix milliseconds.
    began_ms: i64,
    wait_max: Duration,
}

impl Patience {
    fn new(wait_max: Duration, now_ms: i64) -> Self {
        Self {
            began_ms: now_ms,
            began: Instant::now(),
            wait_max,
        }
    }

    /// When a question was asked that this one waits for, Unix milliseconds: `asked_at`, which is not after the wait began.
    fn asked_ms(&self, asked_at: Instant) -> i64 {
        let before = self.began.saturating_duration_since(asked_at);
        let before_ms = i64::try_from(before.as_millis()).unwrap_or(i64::MAX);
        self.began_ms.saturating_sub(before_ms)
    }

    /// What is left of it for one who waits with others, at most `wait_max`: one wait is enough for all who come while the
    /// same question is open.
    pub(super) fn left_behind(&self, follow: &Follow, wait_max: Duration) -> Duration {
        let spent = self.began.elapsed().max(follow.began().elapsed());
        self.wait_max.saturating_sub(spent).min(wait_max)
    }
}

/// What `work` comes to; nothing when patience is over before.
pub(super) async fn within<T>(
    patience: Option<Patience>,
    work: impl Future<Output = T>,
) -> Option<T> {
    let Some(patience) = patience else {
        return Some(work.await);
    };
    let until = patience.began + patience.wait_max;
    tokio::time::timeout_at(until, work).await.ok()
}

impl<C: ClientStream> Flow<'_, C> {
    /// The patience that a request has for what is held, `known`; none where that may not stand in for an answer, and where
    /// the client himself wants the origin asked. A request that looks again keeps what it had left.
    pub(super) fn patience(
        &self,
        known: Option<&Arc<Entity>>,
        forward: Forward,
        before: Option<Patience>,
    ) -> Option<Patience> {
        let known = known.filter(|_| matches!(forward, Forward::Stale))?;
        if !self.stands_in(known) {
            return None;
        }
        let config = &self.edge.config;
        let now_ms = self.edge.clock.now_ms();
        let is_fresh = self.freshness(known).is_fresh(now_ms);
        let wait_ms = if is_fresh {
            config.trust.verify_wait_ms
        } else {
            config.stale_wait_ms
        };
        Some(before.unwrap_or_else(|| Patience::new(Duration::from_millis(wait_ms), now_ms)))
    }

    /// Does the origin give nobody an answer?
    pub(super) fn is_origin_silent(&self) -> bool {
        let outage = self.asking.outage(self.context);
        outage.is_some_and(|outage| outage.is_on())
    }

    /// May the origin be asked for what can be done without?
    pub(super) fn may_ask_beside(&self) -> bool {
        let now_ms = self.edge.clock.now_ms();
        let outage = self.asking.outage(self.context);
        outage.is_none_or(|outage| outage.may_ask(now_ms))
    }

    /// Serves what is held of a silent origin, which is asked beside that if it is time.
    pub(super) async fn serve_unasked(&mut self, known: &Arc<Entity>) -> Result<(), SendFault> {
        self.refresh(known);
        self.edge.metrics.not_waited("silent");
        self.cover(known, Duration::ZERO).await
    }

    /// The wait for an origin is over that was asked at `asked_at`, and is asked on. What stands in for its answer; nothing if
    /// that was purged meanwhile.
    pub(super) fn done_waiting(
        &mut self,
        patience: Option<Patience>,
        asked_at: Instant,
    ) -> Option<Arc<Entity>> {
        let patience = patience?;
        if let Some(outage) = self.asking.outage(self.context) {
            self.edge
                .upstream_is_silent(outage, patience.asked_ms(asked_at));
        }
        self.standing_in("wait-over")
    }

    /// What stands in for an answer that is not waited for any more.
    pub(super) fn standing_in(&mut self, why: &str) -> Option<Arc<Entity>> {
        let stale = self.stale.take().filter(|stale| self.stands_in(stale))?;
        self.edge.metrics.not_waited(why);
        Some(stale)
    }

    /// Serves it.
    pub(super) async fn cover_unanswered(
        &mut self,
        stale: &Arc<Entity>,
        patience: Option<Patience>,
    ) -> Result<(), SendFault> {
        let waited = patience.map_or(Duration::ZERO, |patience| patience.began.elapsed());
        self.cover(stale, waited).await
    }

    /// The same for the one who asks; what was purged meanwhile is asked for anew.
    pub(super) async fn answer_unanswered(
        &mut self,
        patience: Option<Patience>,
    ) -> Result<(), SendFault> {
        let asked_at = patience.map_or_else(Instant::now, |patience| patience.began);
        match self.done_waiting(patience, asked_at) {
            Some(stale) => self.cover_unanswered(&stale, patience).await,
            None => self.pass(Forward::UriMiss, None).await,
        }
    }

    /// Is what others waited for as well as before, and not vouched for: given to them in place of an answer?
    pub(super) fn is_still_unverified(&self, entity: &Entity) -> bool {
        self.context.is_unverified && self.is_unverified(entity, self.edge.clock.now_ms())
    }
}

impl Errand {
    /// What an answer, or that there is none, says of its upstream.
    pub(super) fn note_word(&self, asked_ms: i64, answer: &Result<Response, FetchError>) {
        if let Some(outage) = &self.outage {
            note_word(&self.edge, outage, asked_ms, answer);
        }
    }
}

/// What an answer to a question of `asked_ms`, or that there is none, says of its upstream.
pub(super) fn note_word(
    edge: &Edge,
    outage: &Outage,
    asked_ms: i64,
    answer: &Result<Response, FetchError>,
) {
    match answer {
        // A parent's own is not its origin's.
        Ok(response) if is_stand_in(&response.head) => {}
        Ok(_) => edge.upstream_answered(outage),
        Err(error) => {
            let is_silence = matches!(
                kind_of(error),
                FailureKind::Unreachable | FailureKind::TimedOut
            );
            if is_silence {
                edge.upstream_is_silent(outage, asked_ms);
            }
        }
    }
}
