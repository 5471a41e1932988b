//! What of the feed still matters to one who knows nothing: the last key set of each region, media keys and
//! revocations that have not expired. Built by reading the topic; purges are not in it, since a newcomer holds nothing.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use mcsp_api::proto::feed::FeedEntry;
use mcsp_api::proto::feed::feed_entry::Change;

use crate::entry::{PeerPosition, Stored};

/// The most entries of the state. Revocations live no longer than the tokens they end, so this is never met unless
/// someone revokes a hundred sessions a second for an hour.
const LIVE_MAX: usize = 400_000;
/// How many sources are remembered; more than can be under way between an event's entry and the commit of its offset.
const SOURCES_MAX: usize = 50_000;
/// How many mirrored purges are remembered with their number in their own region's feed.
const MIRRORED_MAX: usize = 10_000;
/// The state is not looked through for what has expired before it holds so much.
const PRUNE_MIN: usize = 1_000;

/// What an entry of the state is about; a later one replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    TokenKeys(String),
    /// Of a region: ids are its own.
    MediaKey(String, String),
    MediaSession(String),
    UserSession(String),
}

/// The state up to a sequence number.
#[derive(Debug)]
pub(crate) struct State {
    live_max: usize,
    /// How much it holds when it is next looked through: twice what was left the last time.
    prune_at: usize,
    /// The last entry that was taken in.
    sequence: u64,
    live: BTreeMap<u64, Stored>,
    subjects: HashMap<Subject, u64>,
    sources: HashSet<String>,
    sources_in_order: VecDeque<String>,
    /// Where mirroring of each peer region got to.
    mirrored: HashMap<String, PeerPosition>,
    /// Mirrored purges, oldest first.
    purges: VecDeque<MirroredPurge>,
}

/// A purge of another region.
#[derive(Debug)]
struct MirroredPurge {
    region: String,
    /// Where it is in that region's feed, and in this one.
    position: PeerPosition,
    sequence: u64,
}

impl Default for State {
    fn default() -> Self {
        Self::bounded(LIVE_MAX)
    }
}

impl State {
    fn bounded(live_max: usize) -> Self {
        Self {
            live_max,
            prune_at: PRUNE_MIN.min(live_max),
            sequence: 0,
            live: BTreeMap::new(),
            subjects: HashMap::new(),
            sources: HashSet::new(),
            sources_in_order: VecDeque::new(),
            mirrored: HashMap::new(),
            purges: VecDeque::new(),
        }
    }

    /// The last entry that was taken in.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Takes in the next entry.
    pub(crate) fn take(&mut self, stored: Stored, now_s: i64) {
        self.sequence = stored.entry.sequence;
        if let Some(source) = &stored.source {
            self.remember(source.clone());
        }
        if let Some(position) = &stored.mirrored {
            self.mirrored
                .insert(stored.entry.region.clone(), position.clone());
            if let Some(Change::Purge(_)) = stored.entry.change {
                let region = stored.entry.region.clone();
                self.covered(region, position.clone(), stored.entry.sequence);
            }
        }
        if let Some(subject) = subject(&stored.entry) {
            if let Some(replaced) = self.subjects.insert(subject, stored.entry.sequence) {
                self.live.remove(&replaced);
            }
            self.live.insert(stored.entry.sequence, stored);
        }
        if self.live.len() > self.prune_at {
            self.prune(now_s);
        }
    }

    /// Was an entry made from this source already?
    pub(crate) fn knows(&self, source: &str) -> bool {
        self.sources.contains(source)
    }

    /// Where mirroring of the region got to.
    pub(crate) fn mirrored(&self, region: &str) -> Option<&PeerPosition> {
        self.mirrored.get(region)
    }

    /// Every purge of a region's feed up to `position` is carried out by whoever has applied `sequence` of this one.
    pub(crate) fn covered(&mut self, region: String, position: PeerPosition, sequence: u64) {
        self.purges.push_back(MirroredPurge {
            region,
            position,
            sequence,
        });
        if self.purges.len() > MIRRORED_MAX {
            self.purges.pop_front();
        }
    }

    /// Under which number this feed has the purge at `position` of a region's feed. When that is not remembered and
    /// mirroring is past it, a later number, which nobody has applied who has not applied the purge.
    pub(crate) fn mirrored_as(&self, region: &str, position: &PeerPosition) -> Option<u64> {
        let is_there = |there: &PeerPosition| {
            there.epoch == position.epoch && there.sequence >= position.sequence
        };
        let remembered = self
            .purges
            .iter()
            .find(|purge| purge.region == region && is_there(&purge.position));
        match remembered {
            Some(purge) => Some(purge.sequence),
            None if self.mirrored.get(region).is_some_and(is_there) => Some(self.sequence),
            None => None,
        }
    }

    /// Live entries after `after` and up to `end`, in order, at most `max`.
    pub(crate) fn page(&self, after: u64, end: u64, max: usize, now_s: i64) -> Vec<FeedEntry> {
        self.live
            .range(after.saturating_add(1)..=end.max(after.saturating_add(1)))
            .filter(|(sequence, stored)| **sequence <= end && !is_expired(&stored.entry, now_s))
            .take(max)
            .map(|(_, stored)| stored.entry.clone())
            .collect()
    }

    /// Live entries that the log took before `before_ms`, oldest first, at most `max`.
    pub(crate) fn older_than(&self, before_ms: i64, max: usize, now_s: i64) -> Vec<Stored> {
        self.live
            .values()
            .filter(|stored| stored.appended_ms < before_ms && !is_expired(&stored.entry, now_s))
            .take(max)
            .cloned()
            .collect()
    }

    /// Forgets what has expired; when that is not enough, the oldest revocations, which says that the bound is wrong.
    fn prune(&mut self, now_s: i64) {
        self.live
            .retain(|_, stored| !is_expired(&stored.entry, now_s));
        let excess = self.live.len().saturating_sub(self.live_max);
        if excess > 0 {
            tracing::error!(
                excess,
                "more live revocations than the feed's state holds; the oldest are left out"
            );
            let revocations: Vec<u64> = self
                .live
                .iter()
                .filter(|(_, stored)| is_revocation(&stored.entry))
                .map(|(sequence, _)| *sequence)
                // A tenth more, so that not every further entry comes here.
                .take(excess + self.live_max / 10)
                .collect();
            for sequence in revocations {
                self.live.remove(&sequence);
            }
        }
        let live = &self.live;
        self.subjects
            .retain(|_, sequence| live.contains_key(sequence));
        self.prune_at = (2 * self.live.len()).clamp(PRUNE_MIN.min(self.live_max), self.live_max);
    }

    fn remember(&mut self, source: String) {
        if !self.sources.insert(source.clone()) {
            return;
        }
        self.sources_in_order.push_back(source);
        if self.sources_in_order.len() > SOURCES_MAX
            && let Some(oldest) = self.sources_in_order.pop_front()
        {
            self.sources.remove(&oldest);
        }
    }
}

fn subject(entry: &FeedEntry) -> Option<Subject> {
    match entry.change.as_ref()? {
        Change::TokenKeySet(_) => Some(Subject::TokenKeys(entry.region.clone())),
        Change::MediaKey(key) => Some(Subject::MediaKey(entry.region.clone(), key.key_id.clone())),
        Change::RevokeMediaSession(revoked) => {
            Some(Subject::MediaSession(revoked.media_session_id.clone()))
        }
        Change::RevokeUserSession(revoked) => {
            Some(Subject::UserSession(revoked.user_session_id.clone()))
        }
        Change::Purge(_) => None,
    }
}

fn is_revocation(entry: &FeedEntry) -> bool {
    matches!(
        entry.change,
        Some(Change::RevokeMediaSession(_) | Change::RevokeUserSession(_))
    )
}

/// Has what the entry is about ended by itself?
pub(crate) fn is_expired(entry: &FeedEntry, now_s: i64) -> bool {
    match entry.change.as_ref() {
        Some(Change::MediaKey(key)) => key.not_after_s < now_s,
        Some(Change::RevokeMediaSession(revoked)) => revoked.expires_s < now_s,
        Some(Change::RevokeUserSession(revoked)) => revoked.expires_s < now_s,
        Some(Change::TokenKeySet(_) | Change::Purge(_)) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_api::proto::feed::{RevokeUserSession, TokenKeySet};

    fn stored(sequence: u64, region: &str, change: Change) -> Stored {
        Stored {
            entry: FeedEntry {
                sequence,
                region: region.to_owned(),
                created_ms: 0,
                change: Some(change),
            },
            appended_ms: 0,
            source: Some(format!("s{sequence}")),
            mirrored: None,
        }
    }

    fn keys(jwks: &str) -> Change {
        Change::TokenKeySet(TokenKeySet {
            jwks_json: jwks.to_owned(),
        })
    }

    fn revoked(id: &str, expires_s: i64) -> Change {
        Change::RevokeUserSession(RevokeUserSession {
            user_session_id: id.to_owned(),
            expires_s,
        })
    }

    fn sequences(entries: &[FeedEntry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.sequence).collect()
    }

    #[test]
    fn a_later_entry_replaces_the_one_before_and_what_expired_is_left_out() {
        let mut state = State::default();
        state.take(stored(1, "a", keys("1")), 0);
        state.take(stored(2, "b", keys("1")), 0);
        state.take(stored(3, "a", revoked("x", 10)), 0);
        state.take(stored(4, "a", keys("2")), 0);
        assert_eq!(sequences(&state.page(0, 4, 100, 0)), [2, 3, 4]);
        assert_eq!(sequences(&state.page(0, 4, 100, 11)), [2, 4]);
        assert_eq!(sequences(&state.page(2, 3, 100, 0)), [3]);
        assert_eq!(sequences(&state.page(4, 4, 100, 0)), [0; 0]);
        assert_eq!(sequences(&state.page(0, 4, 2, 0)), [2, 3]);
        assert!(state.knows("s3") && !state.knows("s9"));
    }

    #[test]
    fn a_mirrored_purge_is_found_by_its_own_number() {
        let mut state = State::default();
        let at = |sequence: u64| PeerPosition {
            epoch: "e".to_owned(),
            sequence,
        };
        let mirrored = |own: u64, there: u64, change: Change| Stored {
            mirrored: Some(at(there)),
            ..stored(own, "a", change)
        };
        let purge = || Change::Purge(mcsp_api::proto::feed::Purge::default());
        assert_eq!(state.mirrored_as("a", &at(3)), None);
        state.take(mirrored(1, 3, purge()), 0);
        state.take(stored(2, "b", purge()), 0);
        state.take(mirrored(3, 7, purge()), 0);
        state.take(mirrored(4, 8, keys("1")), 0);
        state.take(stored(5, "b", purge()), 0);
        let found: Vec<_> = [1, 3, 4, 7, 8, 9]
            .map(|n| state.mirrored_as("a", &at(n)))
            .into();
        assert_eq!(
            found,
            [Some(1), Some(1), Some(3), Some(3), Some(5), None],
            "8 is no purge, so its number here is not kept"
        );
        assert_eq!(state.mirrored_as("b", &at(1)), None);
        let other = PeerPosition {
            epoch: "f".to_owned(),
            sequence: 1,
        };
        assert_eq!(state.mirrored_as("a", &other), None);
    }

    #[test]
    fn the_state_is_bounded_and_keys_are_kept() {
        let mut state = State::bounded(5_000);
        state.take(stored(1, "a", keys("1")), 0);
        for n in 0..SOURCES_MAX as u64 + 10 {
            state.take(stored(n + 2, "a", revoked(&n.to_string(), 10)), 0);
            assert!(state.live.len() <= 5_000);
        }
        assert_eq!(state.subjects.len(), state.live.len());
        assert_eq!(state.sources.len(), SOURCES_MAX);
        assert_eq!(sequences(&state.page(0, u64::MAX, 1, 0)), [1]);
    }
}
