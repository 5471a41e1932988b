//! The tables of the file, and the bytes of a record.

use std::collections::BTreeMap;

use bytes::Bytes;
use redb::TableDefinition;

use crate::{EventError, NewRecord, Position, Record};

/// Numbers of the whole log: [`FORMAT`], [`BOOTS`], [`NEXT_TOPIC_ID`].
pub(super) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Name → (id, partitions, retention in milliseconds).
pub(super) const TOPICS: TableDefinition<'_, &str, (u32, u32, i64)> =
    TableDefinition::new("topics");
/// (Topic id, partition) → (first offset kept, next offset).
pub(super) const PARTITIONS: TableDefinition<'_, (u32, u32), (u64, u64)> =
    TableDefinition::new("partitions");
/// (Topic id, partition, offset) → record.
pub(super) const RECORDS: TableDefinition<'_, (u32, u32, u64), &[u8]> =
    TableDefinition::new("records");
/// (Group, topic id, partition) → next offset to read.
pub(super) const COMMITTED: TableDefinition<'_, (&str, u32, u32), u64> =
    TableDefinition::new("committed");

/// The version of the file's form.
pub(super) const FORMAT: &str = "format";
/// The form that this build reads and writes.
pub(super) const FORMAT_VERSION: u64 = 1;
/// How often the log was opened; makes generations rise over restarts.
pub(super) const BOOTS: &str = "boots";
/// The id that the next topic gets.
pub(super) const NEXT_TOPIC_ID: &str = "next_topic_id";

const RECORD_VERSION: u8 = 1;

/// Version, timestamp, key, headers, value; lengths in front, little-endian.
pub(super) fn encode_record(record: &NewRecord, timestamp_ms: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + record.key.len() + record.value.len());
    out.push(RECORD_VERSION);
    out.extend_from_slice(&timestamp_ms.to_le_bytes());
    put_text(&mut out, &record.key);
    // Lengths are checked before a record comes here; see `limits`.
    out.extend_from_slice(
        &u32::try_from(record.headers.len())
            .unwrap_or(0)
            .to_le_bytes(),
    );
    for (name, value) in &record.headers {
        put_text(&mut out, name);
        put_text(&mut out, value);
    }
    out.extend_from_slice(&record.value);
    out
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// When a stored record was appended, Unix milliseconds.
pub(super) fn timestamp_of(stored: &[u8]) -> Result<i64, EventError> {
    Reader::new(stored).timestamp().ok_or_else(damaged)
}

/// Reads what [`encode_record`] wrote.
pub(super) fn decode_record(position: Position, stored: &[u8]) -> Result<Record, EventError> {
    let mut reader = Reader::new(stored);
    let mut read = || {
        let timestamp_ms = reader.timestamp()?;
        let key = reader.text()?;
        let count = reader.length()?;
        let mut headers = BTreeMap::new();
        for _ in 0..count {
            headers.insert(reader.text()?, reader.text()?);
        }
        Some((timestamp_ms, key, headers))
    };
    let (timestamp_ms, key, headers) = read().ok_or_else(damaged)?;
    Ok(Record {
        position,
        timestamp_ms,
        key,
        value: Bytes::copy_from_slice(reader.rest),
        headers,
    })
}

fn damaged() -> EventError {
    EventError::Corrupt("a record's bytes are not in the expected form".to_owned())
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn new(stored: &'a [u8]) -> Self {
        Self { rest: stored }
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(head)
    }

    fn timestamp(&mut self) -> Option<i64> {
        if self.take(1)? != [RECORD_VERSION] {
            return None;
        }
        Some(i64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.take(4)?.try_into().ok()?)).ok()
    }

    fn text(&mut self) -> Option<String> {
        let len = self.length()?;
        String::from_utf8(self.take(len)?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position() -> Position {
        Position {
            topic: "t".to_owned(),
            partition: 0,
            offset: 9,
        }
    }

    proptest! {
        #[test]
        fn a_record_survives_its_bytes(
            key in ".{0,40}",
            value in proptest::collection::vec(any::<u8>(), 0..200),
            headers in proptest::collection::btree_map(".{0,10}", ".{0,30}", 0..4),
            timestamp_ms in any::<i64>(),
        ) {
            let new = NewRecord { topic: "t".to_owned(), key: key.clone(), value: value.clone().into(), headers: headers.clone() };
            let stored = encode_record(&new, timestamp_ms);
            prop_assert_eq!(timestamp_of(&stored).ok(), Some(timestamp_ms));
            let read = decode_record(position(), &stored).expect("what was written");
            prop_assert_eq!((read.timestamp_ms, read.key, read.value.to_vec(), read.headers), (timestamp_ms, key, value, headers));
        }

        #[test]
        fn no_bytes_panic(stored in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode_record(position(), &stored);
        }
    }
}
