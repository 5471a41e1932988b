//! URIs, and the envelope.

use mcsp_api::events::{ContentDeleted, TokenKeysRotated};
use mcsp_events::envelope::{self, EnvelopeError};
use mcsp_events::{EventsOptions, OpenError, Position, Record, open};
use mcsp_runtime::{ManualClock, SharedClock};

use crate::support;

fn options() -> EventsOptions {
    EventsOptions {
        clock: ManualClock::new(support::NOW_MS),
        identity: None,
    }
}

#[tokio::test]
async fn the_scheme_picks_the_engine_and_faults_wrap_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("folder").join("events.redb");
    let log = open(&format!("redb:{}", path.display()), options())
        .await
        .unwrap();
    log.ensure_topic("t", 1, support::DAY).await.unwrap();
    drop(log);
    let log = open(
        &format!("faulty:redb:{}?error_rate=1", path.display()),
        options(),
    )
    .await
    .unwrap();
    assert!(log.describe("t").await.unwrap_err().is_retryable());
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    for (uri, word) in [
        ("kafka:broker:9092", "redb, mcsp, faulty"),
        ("redb:", "redb:/path"),
        ("redb:/x?sync=off", "sync"),
        ("mcsp://host:1/name", "identity"),
        ("mcsp:host", "mcsp://host:port/server_name"),
        ("faulty:redb:/x?error_rate=2", "error_rate"),
        ("no scheme", "scheme"),
    ] {
        let error = open(uri, options()).await.unwrap_err();
        assert!(matches!(error, OpenError::Uri(_)), "{uri}: {error}");
        assert!(error.to_string().contains(word), "{uri}: {error}");
    }
}

#[tokio::test]
async fn one_process_has_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let uri = format!("redb:{}", dir.path().join("events.redb").display());
    let log = open(&uri, options()).await.unwrap();
    let error = open(&uri, options()).await.unwrap_err();
    assert!(
        matches!(error, OpenError::Log(_)) && error.is_retryable(),
        "{error}"
    );
    drop(log);
}

fn read(new: mcsp_events::NewRecord) -> Record {
    Record {
        position: Position {
            topic: new.topic,
            partition: 0,
            offset: 0,
        },
        timestamp_ms: 0,
        key: new.key,
        value: new.value,
        headers: new.headers,
    }
}

#[test]
fn an_event_survives_its_envelope() {
    let clock: SharedClock = ManualClock::new(support::NOW_MS);
    let record = read(support::keys_rotated(&clock, 1));
    let envelope = envelope::decode::<TokenKeysRotated>(&record).unwrap();
    assert_eq!(envelope.payload.region, "ng-lagos");
    assert_eq!(record.key, "ng-lagos");
    assert_eq!(
        (
            envelope.source_service.as_str(),
            envelope.timestamp.as_str()
        ),
        ("auth", "2027-01-15T08:00:00Z")
    );
    assert_eq!(envelope.event_id.get_version_num(), 7);
    assert_eq!(envelope::event_id(&record).unwrap(), envelope.event_id);
    let other = read(support::keys_rotated(&clock, 2));
    assert_ne!(envelope::event_id(&other).unwrap(), envelope.event_id);
    let mut dead = record;
    dead.position.topic.push_str(envelope::DLQ_SUFFIX);
    assert!(envelope::decode::<TokenKeysRotated>(&dead).is_ok());
}

#[test]
fn another_topic_version_or_form_is_refused() {
    let clock: SharedClock = ManualClock::new(support::NOW_MS);
    let record = read(support::keys_rotated(&clock, 1));
    let other = envelope::decode::<ContentDeleted>(&record);
    assert!(
        matches!(other, Err(EnvelopeError::Topic { .. })),
        "{other:?}"
    );
    let mut newer = record.clone();
    newer.value = String::from_utf8(record.value.to_vec())
        .unwrap()
        .replace("\"version\":1", "\"version\":2")
        .into();
    let newer = envelope::decode::<TokenKeysRotated>(&newer);
    assert!(
        matches!(
            newer,
            Err(EnvelopeError::Version {
                found: 2,
                expected: 1,
                ..
            })
        ),
        "{newer:?}"
    );
    let mut broken = record;
    broken.value = "{}".into();
    assert!(matches!(
        envelope::event_id(&broken),
        Err(EnvelopeError::Form { .. })
    ));
}

#[tokio::test]
async fn the_trace_goes_along() {
    let context = mcsp_telemetry::TraceContext {
        trace_id: [7; 16],
        span_id: [8; 8],
        sampled: true,
    };
    let clock: SharedClock = ManualClock::new(support::NOW_MS);
    let record =
        mcsp_telemetry::with_trace(context, async { support::keys_rotated(&clock, 1) }).await;
    assert_eq!(
        record.headers.get("traceparent"),
        Some(&context.header_value())
    );
}
