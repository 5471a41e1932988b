//! How far a node is with the edge feed, so that two nodes can tell who is further.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

/// A place in a region's feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPosition {
    /// Whose feed, such as `ng-lagos`.
    pub region: String,
    /// The feed's identity: numbers of another say nothing.
    pub epoch: String,
    /// The number of an entry.
    pub sequence: u64,
}

/// As one node tells it another: `{region} {sequence} {epoch}`.
impl fmt::Display for FeedPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.region, self.sequence, self.epoch)
    }
}

impl FeedPosition {
    /// Reads what [`Display`](fmt::Display) writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (region, rest) = text.split_once(' ')?;
        let (sequence, epoch) = rest.split_once(' ')?;
        let is_whole = !region.is_empty() && !epoch.is_empty();
        is_whole.then_some(Self {
            region: region.to_owned(),
            epoch: epoch.to_owned(),
            sequence: sequence.parse().ok()?,
        })
    }

    fn is_of(&self, other: &Self) -> bool {
        (&self.region, &self.epoch) == (&other.region, &other.epoch)
    }
}

/// Is a node as far as another?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    Yes,
    /// No, nor within the time that there was.
    Behind,
    /// It follows another feed, or does not know its state yet: that cannot be told.
    Elsewhere,
}

/// How far this node is. What it demands of others and what it says of itself are two things: while a purge is being
/// carried out here, others must have carried it out already, and this node has not yet.
#[derive(Debug)]
pub(crate) struct FeedProgress {
    demanded: ArcSwapOption<FeedPosition>,
    done: watch::Sender<Option<Arc<FeedPosition>>>,
}

impl Default for FeedProgress {
    fn default() -> Self {
        Self {
            demanded: ArcSwapOption::empty(),
            done: watch::Sender::new(None),
        }
    }
}

impl FeedProgress {
    /// What has been purged up to here must not come back from others, from now on.
    pub(crate) fn demand(&self, position: FeedPosition) {
        let is_further = self
            .demanded
            .load()
            .as_ref()
            .is_none_or(|held| !held.is_of(&position) || held.sequence < position.sequence);
        if is_further {
            self.demanded.store(Some(Arc::new(position)));
        }
    }

    /// What others must have done; nothing before the node knows its feed.
    pub(crate) fn demanded(&self) -> Option<Arc<FeedPosition>> {
        self.demanded.load_full()
    }

    /// Everything up to here is carried out; nothing: the feed begins anew.
    pub(crate) fn set_done(&self, position: Option<FeedPosition>) {
        self.done.send_if_modified(|held| {
            let is_other = held.as_deref() != position.as_ref();
            if is_other {
                *held = position.map(Arc::new);
            }
            is_other
        });
    }

    pub(crate) fn done(&self) -> Option<Arc<FeedPosition>> {
        self.done.borrow().clone()
    }

    /// Waits, `wait_max` at most, until everything up to `wanted` is carried out here.
    pub(crate) async fn reach(&self, wanted: &FeedPosition, wait_max: Duration) -> Reached {
        let judge = |held: &Option<Arc<FeedPosition>>| match held {
            Some(held) if !held.is_of(wanted) => Reached::Elsewhere,
            Some(held) if held.sequence >= wanted.sequence => Reached::Yes,
            Some(_) => Reached::Behind,
            None => Reached::Elsewhere,
        };
        let now = judge(&self.done.borrow());
        if now != Reached::Behind {
            return now;
        }
        let mut done = self.done.subscribe();
        let changed = done.wait_for(|held| judge(held) != Reached::Behind);
        match tokio::time::timeout(wait_max, changed).await {
            Ok(Ok(held)) => judge(&held),
            Ok(Err(_)) | Err(_) => Reached::Behind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: &str, sequence: u64) -> FeedPosition {
        FeedPosition {
            region: "ng-lagos".to_owned(),
            epoch: epoch.to_owned(),
            sequence,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let position = at("an epoch", 7);
        assert_eq!(position.to_string(), "ng-lagos 7 an epoch");
        assert_eq!(FeedPosition::parse("ng-lagos 7 an epoch"), Some(position));
        for text in ["", "a", "a 1", "a 1 ", " 1 e", "a -1 e", "a x e"] {
            assert_eq!(FeedPosition::parse(text), None, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in ".{0,64}") {
            let _ = FeedPosition::parse(&text);
        }
    }

    #[test]
    fn demands_only_grow_within_one_feed() {
        let progress = FeedProgress::default();
        assert_eq!(progress.demanded(), None);
        for (position, wanted) in [
            (at("e", 5), at("e", 5)),
            (at("e", 4), at("e", 5)),
            (at("f", 2), at("f", 2)),
        ] {
            progress.demand(position);
            assert_eq!(progress.demanded().as_deref(), Some(&wanted));
        }
    }

    #[tokio::test]
    async fn who_is_behind_is_waited_for_and_another_feed_is_not() {
        let progress = Arc::new(FeedProgress::default());
        let none = Duration::ZERO;
        assert_eq!(progress.reach(&at("e", 0), none).await, Reached::Elsewhere);
        progress.set_done(Some(at("e", 3)));
        assert_eq!(progress.reach(&at("e", 3), none).await, Reached::Yes);
        assert_eq!(progress.reach(&at("e", 4), none).await, Reached::Behind);
        assert_eq!(progress.reach(&at("f", 1), none).await, Reached::Elsewhere);
        let long = Duration::from_secs(60);
        for (next, wanted) in [
            (Some(at("e", 4)), Reached::Yes),
            (None, Reached::Elsewhere),
            (Some(at("f", 9)), Reached::Elsewhere),
        ] {
            progress.set_done(Some(at("e", 3)));
            let waits = tokio::spawn({
                let progress = Arc::clone(&progress);
                async move { progress.reach(&at("e", 4), long).await }
            });
            while progress.done.receiver_count() == 0 {
                tokio::task::yield_now().await;
            }
            progress.set_done(next);
            assert_eq!(waits.await.unwrap(), wanted);
        }
    }
}
