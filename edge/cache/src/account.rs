//! The memory that cached bytes take, counted where it is allocated and where it is freed.
//!
//! Every chunk and every head carries a [`Share`] that is given back when the last reference to it is dropped, be it
//! the memory tier's, a fill's or a slow client's. So the sum is what is really held, and the bound is a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// A bounded sum of bytes.
#[derive(Debug)]
pub(crate) struct Account {
    limit: u64,
    used: AtomicU64,
}

impl Account {
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicU64::new(0),
        })
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// A share of `bytes`, or nothing if they do not fit.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Option<Share> {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes).filter(|sum| *sum <= self.limit)
            })
            .ok()?;
        Some(Share {
            account: Arc::clone(self),
            bytes,
        })
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
}

impl Drop for Share {
    fn drop(&mut self) {
        self.account.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Memory that is counted until its last reader has gone.
struct Counted {
    data: Box<[u8]>,
    _share: Share,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

/// `data` as shared bytes that hold `share` as long as any slice of them lives.
pub(crate) fn counted(data: Box<[u8]>, share: Share) -> Bytes {
    Bytes::from_owner(Counted {
        data,
        _share: share,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_lives_as_long_as_the_last_slice() {
        let account = Account::new(100);
        let bytes = counted(
            vec![7; 60].into_boxed_slice(),
            account.take(60).expect("it fits"),
        );
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
        let account = Account::new(100);
        let mut share = account.take(60).expect("it fits");
        assert!(share.grow(40));
        assert!(!share.grow(1));
        drop(share);
        assert_eq!(account.used(), 0);
    }
}
