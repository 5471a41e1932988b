//! Entries as records of the log.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use mcsp_api::proto::feed::FeedEntry;
use mcsp_api::proto::feed::feed_entry::Change;
use mcsp_events::{NewRecord, Record};
use prost::Message;

use crate::FeedError;

/// The topic of the entries; one partition, so that they are in one order.
pub const TOPIC: &str = "edge.feed";
/// The topic whose first record is the feed's epoch.
pub const TOPIC_EPOCH: &str = "edge.feed.epoch";
/// How long entries are held. Whoever was away longer starts from the state.
pub(crate) const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);

/// Header: what the entry was made from, such as an event's id; the same source makes one entry.
const HEADER_SOURCE: &str = "mcsp-feed-source";
/// Header of a mirrored entry: the peer's epoch and the entry's number there, `{epoch}:{sequence}`.
const HEADER_MIRRORED: &str = "mcsp-feed-mirrored";

/// The algorithm of media keys that are public. All others are taken for secrets, with which one can sign.
const PUBLIC: &str = "ed25519";

/// Does the entry hold a key that signs?
pub(crate) fn is_secret(entry: &FeedEntry) -> bool {
    matches!(&entry.change, Some(Change::MediaKey(key)) if key.algorithm != PUBLIC)
}

/// Where a mirrored entry was in the peer's feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerPosition {
    pub(crate) epoch: String,
    pub(crate) sequence: u64,
}

/// An entry with what the log knows of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stored {
    pub(crate) entry: FeedEntry,
    /// When the log took it, Unix milliseconds.
    pub(crate) appended_ms: i64,
    pub(crate) source: Option<String>,
    pub(crate) mirrored: Option<PeerPosition>,
}

/// The record of an entry, whose own number is given by the log.
pub(crate) fn to_record(
    entry: &FeedEntry,
    source: Option<&str>,
    mirrored: Option<&PeerPosition>,
) -> NewRecord {
    let mut headers = BTreeMap::new();
    if let Some(source) = source {
        headers.insert(HEADER_SOURCE.to_owned(), source.to_owned());
    }
    if let Some(position) = mirrored {
        let text = format!("{}:{}", position.epoch, position.sequence);
        headers.insert(HEADER_MIRRORED.to_owned(), text);
    }
    NewRecord {
        topic: TOPIC.to_owned(),
        key: entry.region.clone(),
        value: Bytes::from(entry.encode_to_vec()),
        headers,
    }
}

/// The entry of a record.
pub(crate) fn from_record(record: &Record) -> Result<Stored, FeedError> {
    let offset = record.position.offset;
    let mut entry = FeedEntry::decode(record.value.clone())
        .map_err(|source| FeedError::Entry { offset, source })?;
    entry.sequence = sequence_of(offset);
    let mirrored = record.headers.get(HEADER_MIRRORED).and_then(|text| {
        let (epoch, sequence) = text.rsplit_once(':')?;
        Some(PeerPosition {
            epoch: epoch.to_owned(),
            sequence: sequence.parse().ok()?,
        })
    });
    Ok(Stored {
        entry,
        appended_ms: record.timestamp_ms,
        source: record.headers.get(HEADER_SOURCE).cloned(),
        mirrored,
    })
}

/// Sequence numbers begin at 1, so that 0 is "nothing yet".
pub(crate) fn sequence_of(offset: u64) -> u64 {
    offset + 1
}

/// The offset of the entry after `sequence`.
pub(crate) fn offset_after(sequence: u64) -> u64 {
    sequence
}
