//! Following the edge feed: what a subscriber must remember and decide, without input or output.
//!
//! The caller opens the stream with [`FeedCursor::request`], hands every message to [`FeedCursor::receive`], applies
//! what it is told to, and says so with [`FeedCursor::applied`]. When the stream ends, it waits
//! [`FeedCursor::reconnect_delay_ms`] and asks again from where it was. Whoever cannot keep what he applied over a
//! restart begins as a [`FeedCursor::newcomer`].

use thiserror::Error;

use crate::proto::feed::feed_message::Message;
use crate::proto::feed::{AcknowledgeRequest, FeedEntry, FeedMessage, SubscribeRequest};

/// How often an origin sends something at least, milliseconds.
pub const HEARTBEAT_MS: i64 = 2_000;
/// A stream that was silent for so long is cut, milliseconds.
pub const SILENCE_MS_MAX: i64 = 3 * HEARTBEAT_MS;

/// The first wait between connections, and the longest, milliseconds.
const RECONNECT_MS: (u64, u64) = (100, 10_000);

/// What to do with a message.
#[derive(Debug, Clone, PartialEq)]
pub enum FeedStep {
    /// Forget every key and revocation, and trust nothing that is cached until it was revalidated: purges may have
    /// been missed. Then go on with what follows.
    Reset,
    /// Apply the entry, then call [`FeedCursor::applied`].
    Apply(FeedEntry),
    /// Nothing to do.
    Nothing,
}

/// Why a message cannot be what an origin sends. The stream must be closed and opened again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FeedFault {
    /// The message is empty: of a kind that this build does not know.
    #[error("edge feed sent a message of an unknown kind")]
    Unknown,
    /// A newcomer was sent an entry before the state.
    #[error("edge feed sent entry {sequence} before a reset")]
    BeforeReset {
        /// Its number.
        sequence: u64,
    },
    /// A reset names no epoch.
    #[error("edge feed sent a reset without an epoch")]
    NoEpoch,
}

/// Where a subscriber is in the feed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FeedCursor {
    epoch: String,
    applied: u64,
    /// While a snapshot is being received: the number up to which it is the whole state.
    snapshot_end: Option<u64>,
    /// Where the feed was when the stream was opened; nothing until it has said so.
    head: Option<u64>,
    heard_ms: Option<i64>,
    failures: u32,
}

impl FeedCursor {
    /// One who knows nothing.
    #[must_use]
    pub fn newcomer() -> Self {
        Self::default()
    }

    /// One who kept all that he had applied up to `applied` in `epoch`.
    #[must_use]
    pub fn resumed(epoch: &str, applied: u64) -> Self {
        Self {
            epoch: epoch.to_owned(),
            applied,
            ..Self::default()
        }
    }

    /// The identity of the feed that is followed; empty for a newcomer.
    #[must_use]
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The number of the last entry that was applied, or known not to matter.
    #[must_use]
    pub fn applied_sequence(&self) -> u64 {
        self.applied
    }

    /// Has the whole state been applied? Until then a node is not ready.
    #[must_use]
    pub fn has_state(&self) -> bool {
        !self.epoch.is_empty() && self.snapshot_end.is_none()
    }

    /// Has all been applied that the feed held when this stream was opened? Until then purges may be on their way that
    /// were made while one was away.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.has_state() && self.head.is_some_and(|head| self.applied >= head)
    }

    /// What to ask the origin for, on a stream that is opened now. `subscriber` is the PoP's id and node name, or a
    /// region's id.
    #[must_use]
    pub fn request(&mut self, subscriber: &str) -> SubscribeRequest {
        self.head = None;
        SubscribeRequest {
            subscriber: subscriber.to_owned(),
            epoch: self.epoch.clone(),
            after_sequence: self.applied,
        }
    }

    /// What to tell the origin of one's progress.
    #[must_use]
    pub fn acknowledgement(&self, subscriber: &str) -> AcknowledgeRequest {
        AcknowledgeRequest {
            subscriber: subscriber.to_owned(),
            epoch: self.epoch.clone(),
            applied_sequence: self.applied,
        }
    }

    /// Takes the stream's next message.
    ///
    /// # Errors
    /// When it is none that an origin sends at this point.
    pub fn receive(&mut self, message: FeedMessage, now_ms: i64) -> Result<FeedStep, FeedFault> {
        let step = match message.message.ok_or(FeedFault::Unknown)? {
            Message::Reset(reset) if reset.epoch.is_empty() => return Err(FeedFault::NoEpoch),
            Message::Reset(reset) => {
                self.epoch = reset.epoch;
                self.applied = 0;
                self.snapshot_end = Some(reset.snapshot_end);
                self.head = Some(reset.snapshot_end);
                FeedStep::Reset
            }
            Message::Entry(entry) if self.epoch.is_empty() => {
                return Err(FeedFault::BeforeReset {
                    sequence: entry.sequence,
                });
            }
            // Sent again after a cut: it was applied already.
            Message::Entry(entry) if entry.sequence <= self.applied => FeedStep::Nothing,
            Message::Entry(entry) => FeedStep::Apply(entry),
            Message::Heartbeat(heartbeat) => {
                if !self.epoch.is_empty() {
                    // An origin that does not say where its feed is has sent all it had.
                    let head = heartbeat.head_sequence.max(heartbeat.last_sequence);
                    self.head.get_or_insert(head);
                    self.applied(heartbeat.last_sequence);
                }
                FeedStep::Nothing
            }
        };
        self.heard_ms = Some(now_ms);
        self.failures = 0;
        Ok(step)
    }

    /// The entry of this number was applied.
    pub fn applied(&mut self, sequence: u64) {
        self.applied = self.applied.max(sequence);
        if self.snapshot_end.is_some_and(|end| self.applied >= end) {
            self.snapshot_end = None;
        }
    }

    /// Since when nothing was heard, milliseconds; `None` when nothing ever was.
    #[must_use]
    pub fn silent_ms(&self, now_ms: i64) -> Option<i64> {
        self.heard_ms
            .map(|heard_ms| now_ms.saturating_sub(heard_ms).max(0))
    }

    /// Is what was applied the state of now, to within [`SILENCE_MS_MAX`]? While it is not, an edge revalidates what
    /// it serves.
    #[must_use]
    pub fn is_current(&self, now_ms: i64) -> bool {
        self.has_state()
            && self
                .silent_ms(now_ms)
                .is_some_and(|silent_ms| silent_ms <= SILENCE_MS_MAX)
    }

    /// The stream ended or could not be opened: how long to wait before the next, milliseconds. Doubles up to 10 s;
    /// `random` spreads subscribers that were cut off together.
    pub fn reconnect_delay_ms(&mut self, random: u64) -> u64 {
        let (first_ms, max_ms) = RECONNECT_MS;
        let step_ms = first_ms
            .saturating_mul(1 << self.failures.min(16))
            .min(max_ms);
        self.failures = self.failures.saturating_add(1);
        let half_ms = step_ms / 2;
        half_ms + random % (step_ms - half_ms + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::feed::{Heartbeat, Reset};

    fn reset(epoch: &str, snapshot_end: u64) -> FeedMessage {
        let message = Message::Reset(Reset {
            epoch: epoch.to_owned(),
            snapshot_end,
        });
        FeedMessage {
            message: Some(message),
        }
    }

    fn entry(sequence: u64) -> FeedMessage {
        let entry = FeedEntry {
            sequence,
            ..FeedEntry::default()
        };
        FeedMessage {
            message: Some(Message::Entry(entry)),
        }
    }

    fn heartbeat(last_sequence: u64) -> FeedMessage {
        behind(last_sequence, last_sequence)
    }

    fn behind(last_sequence: u64, head_sequence: u64) -> FeedMessage {
        FeedMessage {
            message: Some(Message::Heartbeat(Heartbeat {
                last_sequence,
                head_sequence,
            })),
        }
    }

    fn apply(cursor: &mut FeedCursor, message: FeedMessage) -> Option<u64> {
        match cursor.receive(message, 0) {
            Ok(FeedStep::Apply(entry)) => {
                cursor.applied(entry.sequence);
                Some(entry.sequence)
            }
            _ => None,
        }
    }

    #[test]
    fn a_newcomer_has_state_only_after_the_whole_snapshot() {
        let mut cursor = FeedCursor::newcomer();
        assert_eq!(
            cursor.receive(entry(4), 0),
            Err(FeedFault::BeforeReset { sequence: 4 })
        );
        assert_eq!(cursor.receive(reset("e", 9), 0), Ok(FeedStep::Reset));
        assert_eq!(apply(&mut cursor, entry(4)), Some(4));
        assert!(!cursor.has_state());
        // The newest entry of the state is older than the snapshot's end, which the heartbeat tells.
        assert_eq!(cursor.receive(heartbeat(9), 0), Ok(FeedStep::Nothing));
        assert!(cursor.has_state());
        assert_eq!(cursor.request("los1").after_sequence, 9);
    }

    #[test]
    fn an_empty_feed_is_a_state_after_its_heartbeat() {
        let mut cursor = FeedCursor::newcomer();
        assert_eq!(cursor.receive(reset("e", 0), 0), Ok(FeedStep::Reset));
        assert_eq!(cursor.receive(heartbeat(0), 0), Ok(FeedStep::Nothing));
        assert!(cursor.has_state());
    }

    #[test]
    fn what_was_applied_is_not_applied_again_and_a_cut_in_a_snapshot_resumes() {
        let mut cursor = FeedCursor::newcomer();
        assert_eq!(cursor.receive(reset("e", 9), 0), Ok(FeedStep::Reset));
        assert_eq!(apply(&mut cursor, entry(4)), Some(4));
        cursor.reconnect_delay_ms(0);
        assert_eq!(cursor.request("los1").after_sequence, 4);
        assert_eq!(apply(&mut cursor, entry(4)), None);
        assert_eq!(apply(&mut cursor, entry(7)), Some(7));
        assert_eq!(apply(&mut cursor, entry(12)), Some(12));
        assert!(cursor.has_state());
    }

    #[test]
    fn one_who_was_away_is_caught_up_only_where_the_feed_was_when_it_came_back() {
        let mut cursor = FeedCursor::resumed("e", 3);
        assert!(cursor.has_state() && !cursor.is_caught_up());
        assert_eq!(cursor.request("los1").after_sequence, 3);
        assert_eq!(cursor.receive(behind(3, 5), 0), Ok(FeedStep::Nothing));
        assert!(!cursor.is_caught_up());
        assert_eq!(apply(&mut cursor, entry(4)), Some(4));
        assert!(!cursor.is_caught_up());
        assert_eq!(apply(&mut cursor, entry(5)), Some(5));
        assert!(cursor.is_caught_up());
        // What came after the stream was opened is on time however late it is.
        assert_eq!(cursor.receive(behind(5, 9), 0), Ok(FeedStep::Nothing));
        assert!(cursor.is_caught_up());
        assert_eq!(cursor.request("los1").after_sequence, 5);
        assert!(!cursor.is_caught_up(), "a new stream has said nothing yet");
        assert_eq!(cursor.receive(reset("f", 2), 0), Ok(FeedStep::Reset));
        assert!(!cursor.is_caught_up());
        assert_eq!(cursor.receive(behind(2, 2), 0), Ok(FeedStep::Nothing));
        assert!(cursor.is_caught_up());
    }

    #[test]
    fn another_epoch_begins_from_nothing() {
        let mut cursor = FeedCursor::resumed("old", 500);
        assert!(cursor.has_state());
        assert_eq!(cursor.receive(reset("new", 3), 0), Ok(FeedStep::Reset));
        assert_eq!((cursor.epoch(), cursor.applied_sequence()), ("new", 0));
        assert!(!cursor.has_state());
    }

    #[test]
    fn silence_makes_it_stale_and_waits_grow_until_something_is_heard() {
        let mut cursor = FeedCursor::resumed("e", 1);
        assert!(!cursor.is_current(0));
        let waits: Vec<u64> = (0..12)
            .map(|_| cursor.reconnect_delay_ms(u64::MAX - 1))
            .collect();
        assert!(
            waits.windows(2).all(|pair| pair[1] >= pair[0] / 2),
            "{waits:?}"
        );
        assert!((5_000..=10_000).contains(&waits[11]), "{waits:?}");
        assert_eq!(cursor.receive(heartbeat(1), 1_000), Ok(FeedStep::Nothing));
        assert!(cursor.reconnect_delay_ms(0) <= 100);
        assert!(cursor.is_current(1_000 + SILENCE_MS_MAX));
        assert!(!cursor.is_current(1_001 + SILENCE_MS_MAX));
    }
}
