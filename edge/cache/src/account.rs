//! The memory that cached bytes take, counted where it is allocated and where it is freed.
//!
//! Every chunk and every head carries a [`Share`] that is given back when the last reference to it is dropped, be it
//! the memory tier's, a fill's or a slow client's. So the sum is what is really held, and the bound is a bound.
//!
//! Whoever may not be refused waits for what the others give back: in turn, a bounded number, for a bounded time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

/// How often one whose turn it is looks again though nothing was given back: what becomes stored gives nothing back, and may
/// be let go of.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A bounded sum of bytes.
#[derive(Debug)]
pub(crate) struct Account {
    limit: u64,
    used: AtomicU64,
    /// Those who wait, and how many may.
    waiting: AtomicUsize,
    waiting_max: usize,
    /// The one of them who takes what is given back.
    turn: Semaphore,
    given_back: Notify,
}

/// One of those who wait.
struct Waiting<'a>(&'a Account);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Account {
    pub(crate) fn new(limit: u64, waiting_max: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            waiting_max,
            turn: Semaphore::new(1),
            given_back: Notify::new(),
        })
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// A share of `bytes`, or nothing if they do not fit.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Option<Share> {
        self.used
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.limit)
            })
            .ok()?;
        Some(Share {
            account: Arc::clone(self),
            bytes,
        })
    }

    /// Does anybody wait?
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// What `attempt` takes, when it takes something: at once if nobody waits, else when all who came before have had their
    /// turn and enough was given back. Nothing when too many wait, or after `wait_max`.
    pub(crate) async fn in_turn(
        &self,
        wait_max: Duration,
        attempt: impl Fn() -> Option<Share>,
    ) -> Option<Share> {
        if !self.has_waiting()
            && let Some(share) = attempt()
        {
            return Some(share);
        }
        let count = self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(self);
        if count >= self.waiting_max {
            return None;
        }
        let until = Instant::now() + wait_max;
        let _turn = timeout_at(until, self.turn.acquire()).await.ok()?.ok()?;
        loop {
            let given_back = self.given_back.notified();
            if let Some(share) = attempt() {
                return Some(share);
            }
            if Instant::now() >= until {
                return None;
            }
            // What is given back between the attempt and here is remembered.
            let _ = timeout(LOOK_AGAIN.min(until - Instant::now()), given_back).await;
        }
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::SeqCst);
        if self.has_waiting() {
            self.given_back.notify_one();
        }
    }
}

/// Bytes taken from an [`Account`] until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    account: Arc<Account>,
    bytes: u64,
}

impl Share {
    /// Takes more of the same account into this share; false if it does not fit.
    pub(crate) fn grow(&mut self, bytes: u64) -> bool {
        let Some(mut more) = self.account.take(bytes) else {
            return false;
        };
        self.bytes += std::mem::take(&mut more.bytes);
        true
    }

    /// Bytes that it stands for.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A share of its own for `bytes` of it; nothing if it has fewer.
    pub(crate) fn split(&mut self, bytes: u64) -> Option<Self> {
        self.bytes = self.bytes.checked_sub(bytes)?;
        Some(Self {
            account: Arc::clone(&self.account),
            bytes,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.account.give_back(self.bytes);
        }
    }
}

/// Memory that is counted until its last reader has gone.
struct Counted {
    data: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

/// `data` as shared bytes that hold `share` as long as any slice of them lives.
pub(crate) fn counted(data: impl Into<Bytes>, share: Share) -> Bytes {
    Bytes::from_owner(Counted {
        data: data.into(),
        _share: share,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_lives_as_long_as_the_last_slice() {
        let account = Account::new(100, 2);
        let bytes = counted(vec![7; 60], account.take(60).expect("it fits"));
        assert!(account.take(41).is_none());
        assert_eq!(account.used(), 60);
        let slice = bytes.slice(10..20);
        drop(bytes);
        assert_eq!(account.used(), 60);
        drop(slice);
        assert_eq!(account.used(), 0);
    }

    #[test]
    fn a_share_grows_within_the_limit() {
        let account = Account::new(100, 2);
        let mut share = account.take(60).expect("it fits");
        assert!(share.grow(40));
        assert!(!share.grow(1));
        drop(share);
        assert_eq!(account.used(), 0);
    }

    #[test]
    fn a_share_is_split_and_each_part_comes_back() {
        let account = Account::new(100, 2);
        let mut share = account.take(60).expect("it fits");
        let part = share.split(20).expect("it has as much");
        assert!(share.split(41).is_none());
        assert_eq!((share.bytes(), part.bytes()), (40, 20));
        drop(share);
        assert_eq!(account.used(), 20);
        drop(part);
        assert_eq!(account.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_what_is_given_back_in_turn() {
        let account = Account::new(100, 2);
        let held = account.take(90).expect("it fits");
        let wait = |bytes, wait_ms| {
            let account = Arc::clone(&account);
            async move {
                let wait_max = Duration::from_millis(wait_ms);
                account.in_turn(wait_max, || account.take(bytes)).await
            }
        };
        let first = tokio::spawn(wait(60, 10_000));
        tokio::task::yield_now().await;
        // What the second wants is there, but it is the first one's turn.
        let second = tokio::spawn(wait(10, 10_000));
        tokio::task::yield_now().await;
        assert!(wait(10, 10_000).await.is_none(), "no more than two wait");
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!first.is_finished() && !second.is_finished());
        drop(held);
        let first = first.await.expect("no panic").expect("it was given back");
        assert_eq!(first.bytes(), 60);
        assert!(second.await.expect("no panic").is_some());
        assert!(
            wait(60, 500).await.is_none(),
            "nothing was given back in time"
        );
        drop(first);
        assert!(
            wait(60, 0).await.is_some(),
            "nobody is counted as waiting any more"
        );
    }
}
