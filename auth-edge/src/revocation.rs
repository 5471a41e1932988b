//! Sessions that were ended before their time.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use mcsp_api::MediaSessionId;
use mcsp_runtime::SharedClock;
use parking_lot::RwLock;

/// How many revoked sessions of a kind are held unless told otherwise; about 200 bytes each.
pub const ENTRIES_MAX_DEFAULT: usize = 200_000;

/// How long after its expiry a revocation is still held, seconds: more than any clock skew that token verification
/// allows.
const MARGIN_S: i64 = 300;

/// The longest session id that is held, bytes; a longer one is no id of ours.
const ID_BYTES_MAX: usize = 128;

/// Revoked media sessions and login sessions, until the tokens they could be used with have expired anyway.
///
/// Bounded, and closed when full: the entries that expire first make room, and from then on every token that expires
/// no later than they would have is treated as revoked. Nothing that was revoked comes back to life; at worst, viewers
/// whose token was about to expire must ask for a new one.
///
/// A clock that leaps ahead makes entries seem over that are not. So what is forgotten by the clock counts in the same way: in
/// ordinary times such tokens have expired long since, and once the clock is set back they are still treated as revoked.
///
/// Revocations only ever add up, so a feed that starts over with a snapshot merges into what is here.
#[derive(Debug)]
pub struct Revocations {
    clock: SharedClock,
    media: RwLock<Sessions>,
    user: RwLock<Sessions>,
}

impl Revocations {
    /// None revoked, room for [`ENTRIES_MAX_DEFAULT`] of each kind.
    #[must_use]
    pub fn new(clock: SharedClock) -> Arc<Self> {
        Self::with_capacity(clock, ENTRIES_MAX_DEFAULT)
    }

    /// None revoked, room for `entries_max` (at least 1) of each kind.
    #[must_use]
    pub fn with_capacity(clock: SharedClock, entries_max: usize) -> Arc<Self> {
        let sessions = || RwLock::new(Sessions::new(entries_max.max(1)));
        Arc::new(Self {
            clock,
            media: sessions(),
            user: sessions(),
        })
    }

    /// Ends a media session; `expires_s` (Unix seconds) is when the last of its URLs expires.
    pub fn revoke_media_session(&self, id: &MediaSessionId, expires_s: i64) {
        self.media
            .write()
            .insert(id.as_str(), expires_s, self.clock.now_s());
    }

    /// Ends a login session (`sid`); `expires_s` (Unix seconds) is when the last of its access tokens expires.
    pub fn revoke_user_session(&self, session_id: &str, expires_s: i64) {
        self.user
            .write()
            .insert(session_id, expires_s, self.clock.now_s());
    }

    /// Was the media session of a URL that expires at `url_expires_s` ended?
    #[must_use]
    pub fn is_media_session_revoked(&self, id: &MediaSessionId, url_expires_s: i64) -> bool {
        self.media.read().contains(id.as_str(), url_expires_s)
    }

    /// Was the login session of a token that expires at `token_expires_s` ended?
    #[must_use]
    pub fn is_user_session_revoked(&self, session_id: &str, token_expires_s: i64) -> bool {
        self.user.read().contains(session_id, token_expires_s)
    }

    /// Forgets what has expired. Also happens on every insertion, so a timer is a convenience.
    pub fn prune(&self) {
        let now_s = self.clock.now_s();
        self.media.write().prune(now_s);
        self.user.write().prune(now_s);
    }

    /// How many sessions are held, media and login sessions together; for metrics.
    #[must_use]
    pub fn len(&self) -> usize {
        self.media.read().by_id.len() + self.user.read().by_id.len()
    }

    /// Is none held?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many live entries had to make room since the start; anything but 0 deserves an alert.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.media.read().overflowed + self.user.read().overflowed
    }
}

#[derive(Debug)]
struct Sessions {
    entries_max: usize,
    by_id: HashMap<Arc<str>, i64>,
    by_expiry: BTreeSet<(i64, Arc<str>)>,
    /// Tokens that expire at or before this are treated as revoked.
    floor_expires_s: i64,
    overflowed: u64,
}

impl Sessions {
    fn new(entries_max: usize) -> Self {
        Self {
            entries_max,
            by_id: HashMap::new(),
            by_expiry: BTreeSet::new(),
            floor_expires_s: i64::MIN,
            overflowed: 0,
        }
    }

    fn contains(&self, id: &str, token_expires_s: i64) -> bool {
        token_expires_s <= self.floor_expires_s || self.by_id.contains_key(id)
    }

    fn insert(&mut self, id: &str, expires_s: i64, now_s: i64) {
        self.prune(now_s);
        if id.len() > ID_BYTES_MAX {
            return;
        }
        if expired(expires_s, now_s) {
            self.close_until(expires_s);
            return;
        }
        let id: Arc<str> = id.into();
        if let Some(known_s) = self.by_id.get(&id).copied() {
            if known_s >= expires_s {
                return;
            }
            self.by_expiry.remove(&(known_s, id.clone()));
        } else if self.by_id.len() >= self.entries_max {
            self.make_room();
        }
        self.by_id.insert(id.clone(), expires_s);
        self.by_expiry.insert((expires_s, id));
    }

    fn prune(&mut self, now_s: i64) {
        while self
            .by_expiry
            .first()
            .is_some_and(|(expires_s, _)| expired(*expires_s, now_s))
        {
            self.forget_first();
        }
    }

    fn make_room(&mut self) {
        if self.forget_first() {
            self.overflowed += 1;
        }
    }

    /// Forgets what expires first; false if there is nothing.
    fn forget_first(&mut self) -> bool {
        let Some((expires_s, id)) = self.by_expiry.pop_first() else {
            return false;
        };
        self.by_id.remove(&id);
        self.close_until(expires_s);
        true
    }

    fn close_until(&mut self, expires_s: i64) {
        self.floor_expires_s = self.floor_expires_s.max(expires_s);
    }
}

fn expired(expires_s: i64, now_s: i64) -> bool {
    expires_s.saturating_add(MARGIN_S) < now_s
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_runtime::ManualClock;
    use std::time::Duration;

    const NOW_S: i64 = 1_800_000_000;

    #[test]
    fn a_revocation_holds_until_its_tokens_have_expired() {
        let clock = ManualClock::new(NOW_S * 1000);
        let revocations = Revocations::new(clock.clone());
        revocations.revoke_user_session("s1", NOW_S + 900);
        assert!(revocations.is_user_session_revoked("s1", NOW_S + 900));
        assert!(!revocations.is_user_session_revoked("s2", NOW_S + 900));

        clock.advance(Duration::from_secs(900 + 300));
        revocations.prune();
        assert!(
            revocations.is_user_session_revoked("s1", NOW_S + 900),
            "still within the margin"
        );
        clock.advance(Duration::from_secs(1));
        revocations.prune();
        assert!(revocations.is_empty());
    }

    #[test]
    fn a_clock_that_leaps_ahead_brings_nothing_back() {
        let clock = ManualClock::new(NOW_S * 1000);
        let revocations = Revocations::new(clock.clone());
        revocations.revoke_user_session("before", NOW_S + 900);
        clock.set((NOW_S + 86_400) * 1000);
        revocations.prune();
        revocations.revoke_user_session("meanwhile", NOW_S + 1000);
        clock.set((NOW_S + 2) * 1000);
        assert!(revocations.is_user_session_revoked("before", NOW_S + 900));
        assert!(revocations.is_user_session_revoked("meanwhile", NOW_S + 1000));
        assert!(
            !revocations.is_user_session_revoked("new", NOW_S + 1001),
            "tokens that are issued from now on live longer"
        );
    }

    #[test]
    fn a_full_set_stays_closed_for_what_it_had_to_forget() {
        let revocations = Revocations::with_capacity(ManualClock::new(NOW_S * 1000), 2);
        revocations.revoke_user_session("early", NOW_S + 10);
        revocations.revoke_user_session("late", NOW_S + 800);
        revocations.revoke_user_session("mid", NOW_S + 400);
        assert_eq!(revocations.len(), 2);
        assert_eq!(revocations.overflowed(), 1);
        for (id, expires_s) in [
            ("early", NOW_S + 10),
            ("mid", NOW_S + 400),
            ("late", NOW_S + 800),
        ] {
            assert!(revocations.is_user_session_revoked(id, expires_s), "{id}");
        }
        assert!(!revocations.is_user_session_revoked("other", NOW_S + 11));
    }

    #[test]
    fn a_later_end_wins_and_an_earlier_one_changes_nothing() {
        let clock = ManualClock::new(NOW_S * 1000);
        let revocations = Revocations::new(clock.clone());
        revocations.revoke_user_session("s", NOW_S + 900);
        revocations.revoke_user_session("s", NOW_S + 10);
        revocations.revoke_user_session("s", NOW_S + 2000);
        assert_eq!(revocations.len(), 1);
        clock.advance(Duration::from_secs(2000));
        revocations.prune();
        assert!(revocations.is_user_session_revoked("s", NOW_S + 2000));
    }

    proptest::proptest! {
        /// Whatever is revoked, in whatever order and however little room there is, stays revoked until it expires.
        #[test]
        fn nothing_revoked_comes_back(
            entries in proptest::collection::vec((0_u8..40, 1_i64..2000), 1..60),
            room in 1_usize..20,
        ) {
            let revocations = Revocations::with_capacity(ManualClock::new(NOW_S * 1000), room);
            let mut ends = std::collections::HashMap::new();
            for (id, life_s) in entries {
                let id = format!("s{id}");
                let expires_s = NOW_S + life_s;
                revocations.revoke_user_session(&id, expires_s);
                let end: &mut i64 = ends.entry(id).or_insert(expires_s);
                *end = (*end).max(expires_s);
            }
            proptest::prop_assert!(revocations.len() <= room);
            for (id, expires_s) in ends {
                proptest::prop_assert!(revocations.is_user_session_revoked(&id, expires_s));
            }
        }
    }
}
