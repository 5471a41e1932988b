//! What the log takes, the same for every engine.

use std::time::Duration;

use crate::{EventError, NewRecord};

/// The largest value of a record, bytes.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;
/// The most records one append or read carries, and the most positions one `ready` asks for.
pub const BATCH_RECORDS_MAX: usize = 1000;
/// The most that the values, keys and headers of one append add up to, and about what one read returns at most; bytes.
pub const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest key, bytes.
pub const KEY_BYTES_MAX: usize = 1024;
/// The most headers of a record.
pub const HEADERS_MAX: usize = 32;
/// The most that the names and values of a record's headers add up to, bytes.
pub const HEADERS_BYTES_MAX: usize = 16 * 1024;
/// The longest name of a topic, a group or a member, bytes.
pub const NAME_BYTES_MAX: usize = 200;
/// The most partitions of a topic.
pub const PARTITIONS_MAX: u32 = 1024;
/// The longest that a call waits for a record.
pub const WAIT_MAX: Duration = Duration::from_secs(30);
/// The shortest and the longest session timeout of a member.
pub(crate) const SESSION_TIMEOUT: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(600);

/// Names are `A-Z a-z 0-9 . _ - / :`, so that they are safe in logs, labels and files.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), EventError> {
    let valid = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/' | b':');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(valid) {
        return Err(EventError::Invalid(format!(
            "{what} {name:?}: expected 1 to {NAME_BYTES_MAX} of A-Z a-z 0-9 . _ - / :"
        )));
    }
    Ok(())
}

pub(crate) fn check_partitions(partitions: u32) -> Result<(), EventError> {
    if !(1..=PARTITIONS_MAX).contains(&partitions) {
        return Err(EventError::Invalid(format!(
            "{partitions} partitions: expected 1 to {PARTITIONS_MAX}"
        )));
    }
    Ok(())
}

pub(crate) fn check_session_timeout(timeout: Duration) -> Result<(), EventError> {
    if !SESSION_TIMEOUT.contains(&timeout) {
        return Err(EventError::Invalid(format!(
            "session timeout {timeout:?}: expected {:?} to {:?}",
            SESSION_TIMEOUT.start(),
            SESSION_TIMEOUT.end()
        )));
    }
    Ok(())
}

pub(crate) fn check_batch(what: &str, len: usize) -> Result<(), EventError> {
    if !(1..=BATCH_RECORDS_MAX).contains(&len) {
        return Err(EventError::Invalid(format!(
            "{len} {what}: expected 1 to {BATCH_RECORDS_MAX}"
        )));
    }
    Ok(())
}

/// Checks one record; returns what it weighs, bytes.
pub(crate) fn check_record(record: &NewRecord) -> Result<usize, EventError> {
    check_name("topic", &record.topic)?;
    let headers_bytes: usize = record
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    let too_large = |what: &str, is: usize, max: usize| {
        Err(EventError::Invalid(format!(
            "record for {:?}: {what} {is}, at most {max}",
            record.topic
        )))
    };
    if record.value.len() > VALUE_BYTES_MAX {
        return too_large("value bytes", record.value.len(), VALUE_BYTES_MAX);
    }
    if record.key.len() > KEY_BYTES_MAX {
        return too_large("key bytes", record.key.len(), KEY_BYTES_MAX);
    }
    if record.headers.len() > HEADERS_MAX {
        return too_large("headers", record.headers.len(), HEADERS_MAX);
    }
    if headers_bytes > HEADERS_BYTES_MAX {
        return too_large("header bytes", headers_bytes, HEADERS_BYTES_MAX);
    }
    Ok(record.value.len() + record.key.len() + headers_bytes)
}

/// Checks what one append carries; returns what it weighs, bytes.
pub(crate) fn check_append(records: &[NewRecord]) -> Result<usize, EventError> {
    check_batch("records", records.len())?;
    let mut bytes = 0;
    for record in records {
        bytes += check_record(record)?;
    }
    if bytes > READ_BYTES_MAX {
        return Err(EventError::Invalid(format!(
            "append of {bytes} bytes: at most {READ_BYTES_MAX}"
        )));
    }
    Ok(bytes)
}
