//! How the node stands with the edge feed.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use mcsp_runtime::SharedClock;

use crate::feed_position::{FeedPosition, FeedProgress};

/// When the feed was last heard of, shared by the feed's client, which writes it, and the stages, which judge by it.
#[derive(Debug)]
pub struct FeedState {
    clock: SharedClock,
    /// Unix milliseconds; [`NEVER`] until the first whole snapshot.
    contact_ms: AtomicI64,
    /// When this run of the node began, Unix milliseconds; [`NEVER`] once the feed was heard of in it.
    begun_ms: AtomicI64,
    progress: FeedProgress,
}

const NEVER: i64 = i64::MIN;

impl FeedState {
    /// Not heard of yet.
    #[must_use]
    pub fn new(clock: SharedClock) -> Arc<Self> {
        let begun_ms = AtomicI64::new(clock.now_ms());
        Arc::new(Self {
            clock,
            begun_ms,
            contact_ms: AtomicI64::new(NEVER),
            progress: FeedProgress::default(),
        })
    }

    /// What is purged by the feed up to `position` is about to go: from now on the node takes nothing of another node that
    /// has not carried that out. To be said before a purge is carried out, and before the feed begins anew.
    pub fn demand(&self, position: FeedPosition) {
        self.progress.demand(position);
    }

    /// Everything of the feed up to `position` is carried out; nothing: the feed begins anew.
    pub fn set_done(&self, position: Option<FeedPosition>) {
        self.progress.set_done(position);
    }

    pub(crate) fn progress(&self) -> &FeedProgress {
        &self.progress
    }

    /// The feed spoke just now, and everything it said before is applied.
    pub fn touch(&self) {
        self.contact_ms
            .store(self.clock.now_ms(), Ordering::Release);
        self.begun_ms.store(NEVER, Ordering::Release);
    }

    /// What an earlier run of the node knew, as of `contact_ms`; a time that lies ahead counts as now.
    pub fn restore(&self, contact_ms: i64) {
        self.contact_ms
            .store(contact_ms.min(self.clock.now_ms()), Ordering::Release);
    }

    /// When the feed was last heard of, Unix milliseconds; nothing until the node has its first whole snapshot.
    #[must_use]
    pub fn contact_ms(&self) -> Option<i64> {
        Some(self.contact_ms.load(Ordering::Acquire)).filter(|ms| *ms != NEVER)
    }

    /// Milliseconds since the feed was last heard of.
    #[must_use]
    pub fn age_ms(&self) -> Option<u64> {
        let (contact_ms, now_ms) = (self.contact_ms()?, self.clock.now_ms());
        if contact_ms > now_ms {
            // The clock was set back. Silence counts from now on, or what is held would be believed for longer by as much.
            self.contact_ms.fetch_min(now_ms, Ordering::AcqRel);
        }
        let age_ms = now_ms.saturating_sub(contact_ms);
        Some(u64::try_from(age_ms).unwrap_or(0))
    }

    /// Was the feed heard of within the last `within_ms` milliseconds?
    #[must_use]
    pub fn is_within(&self, within_ms: u64) -> bool {
        self.age_ms().is_some_and(|age_ms| age_ms <= within_ms)
    }

    /// Must an object that its origin vouched for at `validated_ms` (Unix milliseconds) be revalidated before it is
    /// served? Yes, when neither the feed nor the origin was heard of for `within_ms`; and for what an earlier run of the
    /// node left on disk, until this one has caught up with the feed: it may have been purged while no node ran.
    #[must_use]
    pub fn needs_revalidation(&self, validated_ms: i64, within_ms: u64) -> bool {
        self.needs_revalidation_at(self.clock.now_ms(), validated_ms, within_ms)
    }

    /// The same for one who has read the clock just now.
    pub(crate) fn needs_revalidation_at(
        &self,
        now_ms: i64,
        validated_ms: i64,
        within_ms: u64,
    ) -> bool {
        if validated_ms < self.begun_ms.load(Ordering::Acquire) {
            return true;
        }
        let vouched_ms = self.contact_ms().unwrap_or(NEVER).max(validated_ms);
        let age_ms = now_ms.saturating_sub(vouched_ms);
        u64::try_from(age_ms).is_ok_and(|age_ms| age_ms > within_ms)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mcsp_runtime::ManualClock;

    use super::*;

    #[test]
    fn silence_ages_and_an_origins_word_counts_for_its_object() {
        let clock = ManualClock::new(1_000_000);
        let feed = FeedState::new(clock.clone());
        assert_eq!((feed.age_ms(), feed.is_within(u64::MAX)), (None, false));
        assert!(feed.needs_revalidation(0, 10_000));
        feed.touch();
        assert!(!feed.needs_revalidation(0, 10_000));
        clock.advance(Duration::from_millis(10_001));
        assert!(feed.needs_revalidation(0, 10_000));
        assert!(
            !feed.needs_revalidation(1_000_001, 10_000),
            "validated after the last word"
        );
        assert!(feed.is_within(10_001) && !feed.is_within(10_000));
        feed.restore(i64::MAX);
        assert_eq!(feed.age_ms(), Some(0));
    }

    /// What was heard in an hour that is still to come counts as heard now, not for an hour longer.
    #[test]
    fn a_clock_that_is_set_back_does_not_make_silence_younger() {
        let clock = ManualClock::new(1_000_000);
        let feed = FeedState::new(clock.clone());
        assert_eq!(feed.age_ms(), None, "nothing was heard");
        clock.advance(Duration::from_secs(3_600));
        feed.touch();
        clock.set(1_000_000);
        assert_eq!(feed.age_ms(), Some(0));
        clock.advance(Duration::from_millis(10_001));
        assert_eq!(feed.age_ms(), Some(10_001));
        assert!(!feed.is_within(10_000));
        assert!(feed.needs_revalidation(0, 10_000));
    }

    #[test]
    fn what_an_earlier_run_left_is_revalidated_until_the_feed_has_been_heard_in_this_one() {
        let clock = ManualClock::new(1_000_000);
        let feed = FeedState::new(clock.clone());
        feed.restore(999_999);
        assert!(
            feed.is_within(10_000),
            "tokens are judged by what was known"
        );
        assert!(feed.needs_revalidation(999_998, 10_000));
        assert!(
            !feed.needs_revalidation(1_000_000, 10_000),
            "this run's own"
        );
        feed.touch();
        assert!(!feed.needs_revalidation(999_998, 10_000));
    }
}
