//! What several tests need.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcsp_db::Db;
use mcsp_events::envelope;
use mcsp_events::{NewRecord, RedbLog, SharedEventLog};
use mcsp_runtime::{ManualClock, SeededEntropy, SharedClock, SystemClock};
use tempfile::TempDir;

pub(crate) const NOW_MS: i64 = 1_800_000_000_000;
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long a test waits for a state before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A log in a folder of its own, with a clock that stands still.
pub(crate) fn log() -> (SharedEventLog, Arc<ManualClock>, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(NOW_MS);
    let log = RedbLog::open(&dir.path().join("events.redb"), clock.clone()).unwrap();
    (Arc::new(log), clock, dir)
}

/// A log with the machine's clock, for what measures time by itself.
pub(crate) fn live_log() -> (SharedEventLog, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let log = RedbLog::open(&dir.path().join("events.redb"), SystemClock::shared()).unwrap();
    (Arc::new(log), dir)
}

pub(crate) fn record(topic: &str, key: &str, value: &str) -> NewRecord {
    NewRecord {
        topic: topic.to_owned(),
        key: key.to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
        headers: std::collections::BTreeMap::new(),
    }
}

/// A record with an envelope, as consumers want it; its payload is `payload`.
pub(crate) fn event(topic: &str, key: &str, seed: u64, payload: &str) -> NewRecord {
    let id = uuid::Uuid::from_u64_pair(0x0199_0000_0000_7000, 0x8000_0000_0000_0000 | seed);
    let value = serde_json::json!({
        "event_id": id, "timestamp": "2027-01-15T08:00:00Z", "source_service": "test", "version": 1, "payload": payload,
    });
    record(topic, key, &value.to_string())
}

/// The payload of a record that [`event`] made.
pub(crate) fn payload(value: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(value).unwrap();
    value["payload"].as_str().unwrap().to_owned()
}

/// A database with a table of effects.
pub(crate) async fn effects_db(uri: &str) -> Db {
    let db = Db::open(uri).await.unwrap();
    let sql = "CREATE TABLE effects (
        position BIGINT NOT NULL PRIMARY KEY, record_key TEXT NOT NULL, payload TEXT NOT NULL)";
    db.migrate(&[mcsp_db::Migration {
        version: 1,
        name: "effects",
        sql,
    }])
    .await
    .unwrap();
    db
}

/// Every effect, in the order in which they were committed: (key, payload).
pub(crate) async fn effects(db: &Db) -> Vec<(String, String)> {
    let Ok(mut connection) = db.acquire().await else {
        return Vec::new();
    };
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT record_key, payload FROM effects ORDER BY position")
            .fetch_all(connection.conn())
            .await
            .unwrap();
    rows
}

/// Puts an effect in `tx`; its position is the order of commits.
pub(crate) async fn put_effect(
    tx: &mut mcsp_db::Tx,
    key: &str,
    payload: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO effects (position, record_key, payload)
         SELECT COALESCE(MAX(position), 0) + 1, $1, $2 FROM effects",
    )
    .bind(key)
    .bind(payload)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Waits until `state` holds; fails the test when that takes too long.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, state: impl Fn() -> F) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !state().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "never came true: {what}");
}

/// An event of the API, for envelope tests.
pub(crate) fn keys_rotated(clock: &SharedClock, seed: u64) -> NewRecord {
    let event = mcsp_api::events::TokenKeysRotated {
        region: "ng-lagos".to_owned(),
        jwks_json: "{}".to_owned(),
    };
    envelope::encode(&event, "auth", &**clock, &*SeededEntropy::new(seed)).unwrap()
}
