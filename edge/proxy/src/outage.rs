//! Whether an upstream answers at all. While one does not, nobody who has something to be given waits for it: the first who
//! waited in vain tells for all, and one request in a second finds out whether it is back.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use mcsp_edge_fetch::Pool;
use serde::Serialize;

use crate::edge::Edge;

/// How often an upstream that is silent is asked for what is held already, ms.
const ASK_AGAIN_MS: i64 = 1_000;
const NEVER: i64 = i64::MIN;

/// What is known of one upstream: a region's origins, or that of a plain route. All times are Unix milliseconds.
#[derive(Debug)]
pub(crate) struct Outage {
    upstream: String,
    /// When it last gave an answer, whatever its status.
    answered_ms: AtomicI64,
    /// Since when it is silent; [`NEVER`] for one that answers.
    since_ms: AtomicI64,
    /// When somebody may ask it again.
    due_ms: AtomicI64,
    /// The feed was away when it fell silent.
    with_feed: AtomicBool,
}

impl Outage {
    /// Of an upstream that is not known to be silent; `upstream` is what it is called in logs and metrics.
    pub(crate) fn new(upstream: String) -> Self {
        Self {
            upstream,
            answered_ms: AtomicI64::new(NEVER),
            since_ms: AtomicI64::new(NEVER),
            due_ms: AtomicI64::new(NEVER),
            with_feed: AtomicBool::new(false),
        }
    }

    /// Is it silent?
    pub(crate) fn is_on(&self) -> bool {
        self.since_ms.load(Ordering::Relaxed) != NEVER
    }

    /// May one ask it at `now_ms` who could do without? Of a silent one: once in a second, whoever comes first.
    pub(crate) fn may_ask(&self, now_ms: i64) -> bool {
        if !self.is_on() {
            return true;
        }
        let due_ms = self.due_ms.load(Ordering::Relaxed);
        // One that lies further ahead is of a clock that was set back since.
        let is_due = now_ms >= due_ms || due_ms.saturating_sub(now_ms) > ASK_AGAIN_MS;
        is_due
            && self
                .due_ms
                .compare_exchange(
                    due_ms,
                    now_ms.saturating_add(ASK_AGAIN_MS),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    /// A request that was made at `asked_ms` had no answer until `now_ms`. True: an outage begins. One that has answered others
    /// since `asked_ms` is not silent: it is slow with one thing.
    fn begin(&self, asked_ms: i64, now_ms: i64) -> bool {
        let answered_ms = self.answered_ms.load(Ordering::Relaxed);
        if answered_ms > asked_ms && answered_ms <= now_ms {
            return false;
        }
        let began =
            self.since_ms
                .compare_exchange(NEVER, now_ms, Ordering::Relaxed, Ordering::Relaxed);
        if began.is_ok() {
            let due_ms = now_ms.saturating_add(ASK_AGAIN_MS);
            self.due_ms.store(due_ms, Ordering::Relaxed);
        }
        began.is_ok()
    }

    /// It answered at `now_ms`. For how long it had been silent, ms, if it was.
    fn end(&self, now_ms: i64) -> Option<i64> {
        self.answered_ms.store(now_ms, Ordering::Relaxed);
        // Most answers end no outage, and need write no more.
        if !self.is_on() {
            return None;
        }
        let since_ms = self.since_ms.swap(NEVER, Ordering::Relaxed);
        (since_ms != NEVER).then(|| now_ms.saturating_sub(since_ms).max(0))
    }
}

impl Edge {
    /// An upstream gave an answer.
    pub(crate) fn upstream_answered(&self, outage: &Outage) {
        if let Some(silent_ms) = outage.end(self.clock.now_ms()) {
            let upstream = outage.upstream.as_str();
            self.metrics.upstream_silent(upstream, false);
            tracing::info!(upstream, silent_ms, "an upstream answers again");
        }
    }

    /// A request that was made at `asked_ms`, Unix milliseconds, has no answer.
    pub(crate) fn upstream_is_silent(&self, outage: &Outage, asked_ms: i64) {
        if outage.begin(asked_ms, self.clock.now_ms()) {
            let with_feed = self.is_feed_away();
            outage.with_feed.store(with_feed, Ordering::Relaxed);
            let upstream = outage.upstream.as_str();
            self.metrics.upstream_silent(upstream, true);
            tracing::warn!(
                upstream,
                "an upstream does not answer: what is held is served without waiting for it"
            );
        }
    }

    /// The feed comes from the home region: if that fell silent while the feed was away, and the feed is heard again, then the
    /// region answers. To be looked at now and then, since where all is in the cache nobody else may find out.
    pub fn look_at_feed(&self) {
        let home = self.home.as_ref();
        let Some(region) = home.and_then(|home| home.upstreams.region(&home.pop.region)) else {
            return;
        };
        let outage = &region.outage;
        if outage.is_on() && outage.with_feed.load(Ordering::Relaxed) && !self.is_feed_away() {
            self.upstream_answered(outage);
        }
    }

    fn is_feed_away(&self) -> bool {
        !self.feed.is_within(self.config.trust.revalidate_after_ms)
    }

    /// How each upstream does of which something may be kept: regions, then plain routes.
    #[must_use]
    pub fn upstream_states(&self) -> Vec<UpstreamState> {
        let now_ms = self.clock.now_ms();
        let regions = self.home.iter().flat_map(|home| home.upstreams.all());
        let regions = regions.map(|region| (&region.outage, &region.origin));
        let routes = self.routes.all().map(|route| (&route.outage, &route.pool));
        regions
            .chain(routes)
            .map(|(outage, pool)| UpstreamState::of(outage, pool, now_ms))
            .collect()
    }
}

/// How an upstream does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpstreamState {
    /// A region's id, or `route/` and a plain route's name.
    pub upstream: String,
    /// For how long it has given no answer, ms; absent for one that answers.
    pub silent_ms: Option<u64>,
    /// Its addresses.
    pub addresses: Vec<UpstreamAddressState>,
}

/// How an upstream's address does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpstreamAddressState {
    /// `host:port`.
    pub address: String,
    /// Requests under way.
    pub in_flight: usize,
    /// Failures in a row.
    pub failures: u32,
    /// For how long others are preferred to it, ms.
    pub unhealthy_ms: u64,
}

impl UpstreamState {
    fn of(outage: &Outage, pool: &Pool, now_ms: i64) -> Self {
        let since_ms = outage.since_ms.load(Ordering::Relaxed);
        let silent_ms = now_ms.saturating_sub(since_ms);
        let addresses = pool.states().into_iter();
        Self {
            upstream: outage.upstream.clone(),
            silent_ms: (since_ms != NEVER).then(|| u64::try_from(silent_ms).unwrap_or(0)),
            addresses: addresses
                .map(|state| UpstreamAddressState {
                    address: state.address.to_string(),
                    in_flight: state.in_flight,
                    failures: state.failures,
                    unhealthy_ms: state.unhealthy_ms,
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_790_000_000_000;

    fn silent() -> Outage {
        let outage = Outage::new("u".to_owned());
        assert!(outage.begin(NOW_MS - 500, NOW_MS));
        outage
    }

    #[test]
    fn one_in_a_second_asks_until_an_answer_comes() {
        let outage = Outage::new("u".to_owned());
        assert!(!outage.is_on() && outage.may_ask(NOW_MS) && outage.may_ask(NOW_MS));
        let outage = silent();
        assert!(outage.is_on());
        assert!(!outage.may_ask(NOW_MS) && !outage.may_ask(NOW_MS + 999));
        assert!(outage.may_ask(NOW_MS + 1_000));
        assert!(!outage.may_ask(NOW_MS + 1_000) && !outage.may_ask(NOW_MS + 1_999));
        assert!(outage.may_ask(NOW_MS + 2_000));
        assert_eq!(outage.end(NOW_MS + 2_300), Some(2_300));
        assert_eq!(outage.end(NOW_MS + 2_301), None);
        assert!(!outage.is_on() && outage.may_ask(NOW_MS) && outage.may_ask(NOW_MS));
    }

    #[test]
    fn it_begins_once_and_who_waits_in_vain_during_it_puts_nothing_off() {
        let outage = silent();
        for later_ms in [1, 900] {
            assert!(!outage.begin(NOW_MS, NOW_MS + later_ms));
        }
        assert!(outage.may_ask(NOW_MS + 1_000));
        assert_eq!(outage.end(NOW_MS + 5), Some(5));
        assert!(outage.begin(NOW_MS + 6, NOW_MS + 506), "another one");
    }

    #[test]
    fn who_answers_others_meanwhile_is_not_silent() {
        let outage = Outage::new("u".to_owned());
        assert_eq!(outage.end(NOW_MS), None);
        assert!(!outage.begin(NOW_MS - 1, NOW_MS + 499));
        assert!(!outage.begin(NOW_MS - 400, NOW_MS + 100));
        assert!(outage.begin(NOW_MS, NOW_MS + 500));
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nothing_up() {
        let outage = silent();
        assert!(outage.may_ask(NOW_MS - 60_000));
        assert!(!outage.may_ask(NOW_MS - 60_000));
        assert_eq!(outage.end(NOW_MS), Some(0));
        assert!(outage.begin(NOW_MS - 60_500, NOW_MS - 60_000));
        assert_eq!(outage.end(NOW_MS - 70_000), Some(0));
    }
}
