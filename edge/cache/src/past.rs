//! Everything that was taken away so far, by the feed and by clients, to hold against whatever was asked for before.
//!
//! The feed's purges are few and are remembered by what they name ([`History`]). Clients may invalidate as often as they
//! send requests (RFC 9111 section 4.4), so those are remembered apart, by the hash of the key alone and only as far as
//! something could bring the key back: what was asked for before (`asked`), and what the disk may have still (`kept`).
//! What is forgotten of them counts against keys of plain routes, which clients can invalidate, and never against media.

use crate::flight::FillTicket;
use crate::history::{History, Last, PurgeRecord};
use crate::key::{Key, KeyHash};
use crate::marks::{MARK_BYTES, MARKS_MAX, Marks};
use crate::purge::{Purge, PurgeSelector};
use crate::purge_log::PurgeSnapshot;

/// Bytes of memory that all this takes at most, beside [`crate::engine::CacheConfig::memory_bytes`]; 32 MiB.
pub const PURGE_BYTES_MAX: usize = crate::history::HISTORY_BYTES_MAX + 2 * MARKS_MAX * MARK_BYTES;

/// A client invalidated a key of which the disk may have something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidationRecord {
    /// The key's hash.
    pub key: KeyHash,
    /// The generation that it opened.
    pub generation: u64,
}

/// What is written down, one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogRecord {
    /// A purge of the feed's.
    Purge(PurgeRecord),
    /// A client's invalidation.
    Invalidation(InvalidationRecord),
}

/// Is it a key of a plain route, `scheme://host/…`? All others are paths.
pub(crate) fn is_plain(key: &str) -> bool {
    !key.starts_with('/')
}

#[derive(Debug, Default)]
pub(crate) struct Past {
    history: History,
    /// Every key that was invalidated, for what was asked for before.
    asked: Marks,
    /// The invalidated keys of which the disk may have something.
    kept: Marks,
}

impl Past {
    /// Goes on from what a log held, in the run that begins at `generation`.
    pub(crate) fn restore(found: &PurgeSnapshot, generation: u64) -> Self {
        let mut past = Self::default();
        past.history.set_floor(found.floor);
        for record in &found.records {
            past.history.replay(record);
        }
        past.kept.set_floor(found.plain_floor);
        for record in &found.invalidated {
            past.kept.enter(record.key, record.generation);
            past.history.advance_to(record.generation);
        }
        past.history.advance_to(found.plain_floor);
        past.history.advance_to(generation);
        if found.is_damaged {
            past.history.distrust();
        }
        past
    }

    /// What has to be kept to know all this again.
    pub(crate) fn snapshot(&self, epoch: u64) -> PurgeSnapshot {
        PurgeSnapshot {
            epoch,
            floor: self.history.floor(),
            plain_floor: self.kept.floor(),
            records: self.history.records(),
            invalidated: self
                .kept
                .iter()
                .map(|(generation, key)| InvalidationRecord { key, generation })
                .collect(),
            is_damaged: false,
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.history.generation()
    }

    /// Bytes of memory that it takes; at most [`PURGE_BYTES_MAX`].
    pub(crate) fn bytes(&self) -> usize {
        self.history.bytes() + self.asked.bytes() + self.kept.bytes()
    }

    /// Opens a new generation with a purge.
    pub(crate) fn purge(&mut self, purge: &Purge) -> LogRecord {
        if purge.selector == PurgeSelector::Everything && !purge.soft {
            // It says all that the marks say.
            self.asked.clear();
            self.kept.clear();
        }
        LogRecord::Purge(self.history.purge(purge))
    }

    /// Opens a new generation with an invalidation of a plain key. `may_return` says that the disk may have something of
    /// the key, now or after a restart: then there is something to write down.
    pub(crate) fn invalidate(&mut self, key: KeyHash, may_return: bool) -> Option<LogRecord> {
        let generation = self.generation() + 1;
        self.history.advance_to(generation);
        self.asked.enter(key, generation);
        may_return.then(|| {
            self.kept.enter(key, generation);
            LogRecord::Invalidation(InvalidationRecord { key, generation })
        })
    }

    /// What took away a key, with these surrogate keys, from whoever asked an origin for it with this ticket.
    pub(crate) fn since_asked(&self, ticket: FillTicket, key: Key<'_>, tags: &[Tag]) -> Last {
        let last = self.history.since(ticket.asked, key.text(), tags);
        with(last, self.invalidated_since(ticket.generation, key))
    }

    /// What took away a key, with these surrogate keys, that the disk has of `generation`.
    pub(crate) fn since_kept(&self, generation: u64, key: Key<'_>, tags: &[Tag]) -> Last {
        let last = self.history.since(generation, key.text(), tags);
        with(last, of_plain(&self.kept, generation, key))
    }

    /// When a client invalidated a key after `generation`; 0 is never. For what is under way only: what was so long ago
    /// that it is forgotten counts as an invalidation.
    pub(crate) fn invalidated_since(&self, generation: u64, key: Key<'_>) -> u64 {
        of_plain(&self.asked, generation, key)
    }
}

type Tag = std::sync::Arc<str>;

fn with(last: Last, invalidated: u64) -> Last {
    Last {
        hard: last.hard.max(invalidated),
        ..last
    }
}

fn of_plain(marks: &Marks, generation: u64, key: Key<'_>) -> u64 {
    if is_plain(key.text()) {
        marks.since(generation, key.hash())
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_of_clients_counts_against_their_keys_and_never_against_media() {
        let mut past = Past::default();
        let (plain, media) = (Key::new("http://a/x"), Key::new("/media/ng/c/x"));
        for n in 0..=MARKS_MAX as u128 {
            past.invalidate(KeyHash(n), true);
        }
        assert_eq!(past.since_asked(FillTicket::of(0), plain, &[]).hard, 1);
        assert_eq!(past.since_kept(0, plain, &[]).hard, 1);
        assert_eq!(past.since_kept(1, plain, &[]), Last::default());
        assert_eq!(
            past.since_asked(FillTicket::of(0), media, &[]),
            Last::default()
        );
        assert_eq!(past.since_kept(0, media, &[]), Last::default());
        let found = past.snapshot(1);
        assert_eq!((found.plain_floor, found.floor), (1, 0));
        let again = Past::restore(&found, 0);
        assert_eq!(again.snapshot(1), found);
        assert_eq!(again.since_kept(0, plain, &[]).hard, 1);
        assert_eq!(again.since_kept(0, media, &[]), Last::default());
        assert_eq!(again.generation(), past.generation());
        assert!(past.bytes() <= PURGE_BYTES_MAX);
    }

    #[test]
    fn what_the_disk_never_had_is_not_written_down() {
        let mut past = Past::default();
        let key = Key::new("http://a/x");
        assert_eq!(past.invalidate(key.hash(), false), None);
        assert_eq!(past.since_asked(FillTicket::of(0), key, &[]).hard, 1);
        assert_eq!(past.since_kept(0, key, &[]), Last::default());
        assert!(past.invalidate(key.hash(), true).is_some());
        assert_eq!(past.since_kept(0, key, &[]).hard, 2);
        past.purge(&Purge {
            selector: PurgeSelector::Everything,
            soft: false,
        });
        assert_eq!(past.snapshot(1).invalidated, []);
        assert_eq!(past.since_kept(2, key, &[]).hard, 3);
    }
}
