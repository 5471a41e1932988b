//! Events as records: a JSON envelope with an id, a time, its source and the version of its payload's form.

use bytes::Bytes;
use mcsp_api::events::{Envelope, Event};
use mcsp_runtime::{Clock, Entropy};
use serde::Deserialize;
use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::limits::check_record;
use crate::{EventError, NewRecord, Record};

/// What ends the name of a topic that holds dead letters.
pub const DLQ_SUFFIX: &str = ".dlq";

/// Why a record is not the event that was expected. None of these gets better by trying again.
#[derive(Debug, Error)]
pub enum EnvelopeError {
    /// The record is of another topic.
    #[error("record of topic {found:?} read as an event of {expected:?}")]
    Topic {
        /// The topic of the record.
        found: String,
        /// The topic of the event.
        expected: &'static str,
    },
    /// The value is not an envelope, or its payload not of the event's form.
    #[error("record of topic {topic:?} is not an envelope of its event: {source}")]
    Form {
        /// The topic of the record.
        topic: String,
        /// What was wrong.
        source: serde_json::Error,
    },
    /// The payload's form is of a version that this build does not read.
    #[error("event of topic {topic:?} has version {found}; this build reads version {expected}")]
    Version {
        /// The topic of the record.
        topic: String,
        /// The version found.
        found: u32,
        /// The version that is read.
        expected: u32,
    },
}

/// Puts an event into a record: an envelope with a new id (UUID version 7, RFC 9562 section 5.7), the time, the
/// source such as `upload`, and the trace context of the caller.
///
/// # Errors
/// [`EventError::Invalid`] when the event has no JSON form or is larger than a record may be.
pub fn encode<E: Event>(
    event: &E,
    source: &str,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<NewRecord, EventError> {
    let now_ms = clock.now_ms();
    let envelope = Envelope {
        event_id: new_event_id(now_ms, entropy),
        timestamp: rfc3339(now_ms),
        source_service: source.to_owned(),
        version: E::VERSION,
        payload: event,
    };
    let value = serde_json::to_vec(&envelope).map_err(|error| {
        EventError::Invalid(format!("event of topic {:?}: {error}", E::TOPIC.name))
    })?;
    let record = NewRecord {
        topic: E::TOPIC.name.to_owned(),
        key: event.key(),
        value: Bytes::from(value),
        headers: crate::trace::headers(),
    };
    check_record(&record)?;
    Ok(record)
}

/// Reads a record as an event; a dead letter is read as an event of the topic it came from.
///
/// # Errors
/// When the record is of another topic, form or version.
pub fn decode<E: Event>(record: &Record) -> Result<Envelope<E>, EnvelopeError> {
    let topic = &record.position.topic;
    if topic.strip_suffix(DLQ_SUFFIX).unwrap_or(topic) != E::TOPIC.name {
        return Err(EnvelopeError::Topic {
            found: topic.clone(),
            expected: E::TOPIC.name,
        });
    }
    let form = |source| EnvelopeError::Form {
        topic: topic.clone(),
        source,
    };
    let head: Head = serde_json::from_slice(&record.value).map_err(form)?;
    if head.version != E::VERSION {
        return Err(EnvelopeError::Version {
            topic: topic.clone(),
            found: head.version,
            expected: E::VERSION,
        });
    }
    serde_json::from_slice(&record.value).map_err(form)
}

/// The id of the event in a record, of whatever topic.
///
/// # Errors
/// [`EnvelopeError::Form`] when the value is not an envelope.
pub fn event_id(record: &Record) -> Result<Uuid, EnvelopeError> {
    let head: Head =
        serde_json::from_slice(&record.value).map_err(|source| EnvelopeError::Form {
            topic: record.position.topic.clone(),
            source,
        })?;
    Ok(head.event_id)
}

#[derive(Deserialize)]
struct Head {
    event_id: Uuid,
    version: u32,
}

fn new_event_id(now_ms: i64, entropy: &dyn Entropy) -> Uuid {
    let mut random = [0; 10];
    entropy.fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(now_ms.unsigned_abs(), &random).into_uuid()
}

fn rfc3339(now_ms: i64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(now_ms) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
        .format(&Rfc3339)
        // A time of the years 0 to 9999 in UTC always has an RFC 3339 form.
        .unwrap_or_default()
}
