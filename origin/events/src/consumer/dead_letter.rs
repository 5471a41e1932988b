//! Dead letters: what no try could deal with, kept with what a person needs to find out why.

use std::time::Duration;

use crate::envelope::DLQ_SUFFIX;
use crate::{EventError, NewRecord, Record, SharedEventLog};

/// Header of a dead letter: the last error's text.
pub const HEADER_ERROR: &str = "mcsp-error";
/// Header of a dead letter: how many tries there were.
pub const HEADER_ATTEMPTS: &str = "mcsp-attempts";
/// Header of a dead letter: the consumer group that gave up.
pub const HEADER_GROUP: &str = "mcsp-group";
/// Header of a dead letter: the topic it came from.
pub const HEADER_SOURCE_TOPIC: &str = "mcsp-source-topic";
/// Header of a dead letter: the partition it came from.
pub const HEADER_SOURCE_PARTITION: &str = "mcsp-source-partition";
/// Header of a dead letter: the offset it had there.
pub const HEADER_SOURCE_OFFSET: &str = "mcsp-source-offset";

/// How long dead letters are kept.
const RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);
/// The longest error text in a header, characters.
const ERROR_CHARS_MAX: usize = 1000;

/// Makes the topic for a topic's dead letters.
pub(super) async fn ensure_topic(log: &SharedEventLog, topic: &str) -> Result<(), EventError> {
    let partitions = u32::try_from(log.describe(topic).await?.len()).unwrap_or(1);
    log.ensure_topic(&format!("{topic}{DLQ_SUFFIX}"), partitions, RETENTION)
        .await
}

/// The dead letter of a record.
pub(super) fn letter(record: &Record, group: &str, attempts: u32, error: &str) -> NewRecord {
    let position = &record.position;
    let mut headers = record.headers.clone();
    for (name, value) in [
        (HEADER_ERROR, error.chars().take(ERROR_CHARS_MAX).collect()),
        (HEADER_ATTEMPTS, attempts.to_string()),
        (HEADER_GROUP, group.to_owned()),
        (HEADER_SOURCE_TOPIC, position.topic.clone()),
        (HEADER_SOURCE_PARTITION, position.partition.to_string()),
        (HEADER_SOURCE_OFFSET, position.offset.to_string()),
    ] {
        headers.insert(name.to_owned(), value);
    }
    NewRecord {
        topic: format!("{}{DLQ_SUFFIX}", position.topic),
        key: record.key.clone(),
        value: record.value.clone(),
        headers,
    }
}
