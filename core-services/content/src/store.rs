//! The content service's tables. Nobody else reads them.

use mcsp_api::ContentId;
use mcsp_api::rest::{ContentStage, UploadMetadata};
use mcsp_db::Migration;
use serde::de::DeserializeOwned;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as NameError, StrDeserializer};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::error::ContentError;
use crate::lifecycle::Facts;
use crate::record::ContentRecord;

/// The most stages one item shows; the pipeline has fewer than ten.
const STAGES_MAX: i64 = 32;

/// The service's schema.
pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "items and their stages",
    sql: "
        CREATE TABLE content (
            content_id TEXT PRIMARY KEY,
            owner_id TEXT NOT NULL,
            organisation_id TEXT,
            residency TEXT NOT NULL,
            media_type TEXT NOT NULL,
            status TEXT NOT NULL,
            status_reason TEXT,
            metadata_json TEXT NOT NULL,
            duration_ms BIGINT NOT NULL,
            renditions_json TEXT NOT NULL,
            complete BIGINT NOT NULL,
            thumbnails_json TEXT NOT NULL,
            created_ms BIGINT NOT NULL,
            initiated_ms BIGINT,
            playable_ms BIGINT,
            held_ms BIGINT,
            approved_ms BIGINT,
            published_ms BIGINT,
            blocked_ms BIGINT,
            failed_ms BIGINT,
            deleted_ms BIGINT
        );
        CREATE INDEX content_by_owner ON content (owner_id, created_ms);
        CREATE TABLE content_stage (
            content_id TEXT NOT NULL REFERENCES content (content_id),
            stage TEXT NOT NULL,
            state TEXT NOT NULL,
            percent BIGINT NOT NULL,
            note TEXT NOT NULL,
            updated_ms BIGINT NOT NULL,
            PRIMARY KEY (content_id, stage)
        );
    ",
}];

/// Adds the record unless there is one with its id; true when it was added.
pub(crate) async fn insert(
    conn: &mut AnyConnection,
    record: &ContentRecord,
) -> Result<bool, ContentError> {
    let result = sqlx::query(
        "INSERT INTO content (content_id, owner_id, organisation_id, residency, media_type, status, metadata_json,
            duration_ms, renditions_json, complete, thumbnails_json, created_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 0, '[]', 0, '[]', $8)
         ON CONFLICT (content_id) DO NOTHING",
    )
    .bind(record.content_id.as_str())
    .bind(record.owner_id.as_str())
    .bind(record.organisation_id.as_ref().map(|id| id.as_str().to_owned()))
    .bind(record.residency.as_str())
    .bind(record.media_type.as_str())
    .bind(record.status().as_str())
    .bind(json(&record.metadata))
    .bind(record.created_ms)
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// The item's record.
pub(crate) async fn load(
    conn: &mut AnyConnection,
    id: &ContentId,
) -> Result<Option<ContentRecord>, ContentError> {
    let row = sqlx::query(
        "SELECT content_id, owner_id, organisation_id, residency, media_type, status_reason, metadata_json, duration_ms,
            renditions_json, complete, thumbnails_json, created_ms, initiated_ms, playable_ms, held_ms, approved_ms,
            published_ms, blocked_ms, failed_ms, deleted_ms
         FROM content WHERE content_id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    row.map(|row| record_of(id, &row)).transpose()
}

/// Writes back what can change.
pub(crate) async fn save(
    conn: &mut AnyConnection,
    record: &ContentRecord,
) -> Result<(), ContentError> {
    let facts = &record.facts;
    sqlx::query(
        "UPDATE content SET media_type = $2, status = $3, status_reason = $4, metadata_json = $5, duration_ms = $6,
            renditions_json = $7, complete = $8, thumbnails_json = $9, initiated_ms = $10, playable_ms = $11,
            held_ms = $12, approved_ms = $13, published_ms = $14, blocked_ms = $15, failed_ms = $16, deleted_ms = $17
         WHERE content_id = $1",
    )
    .bind(record.content_id.as_str())
    .bind(record.media_type.as_str())
    .bind(record.status().as_str())
    .bind(record.status_reason.clone())
    .bind(json(&record.metadata))
    .bind(i64::try_from(record.duration_ms).unwrap_or(i64::MAX))
    .bind(json(&record.renditions))
    .bind(i64::from(record.complete))
    .bind(json(&record.thumbnails))
    .bind(facts.initiated_ms)
    .bind(facts.playable_ms)
    .bind(facts.held_ms)
    .bind(facts.approved_ms)
    .bind(facts.published_ms)
    .bind(facts.blocked_ms)
    .bind(facts.failed_ms)
    .bind(facts.deleted_ms)
    .execute(conn)
    .await?;
    Ok(())
}

/// The stages that were reported, in the order in which they were last heard of.
pub(crate) async fn stages(
    conn: &mut AnyConnection,
    id: &ContentId,
) -> Result<Vec<ContentStage>, ContentError> {
    let rows = sqlx::query(
        "SELECT stage, state, percent, note, updated_ms FROM content_stage
         WHERE content_id = $1 ORDER BY updated_ms, stage LIMIT $2",
    )
    .bind(id.as_str())
    .bind(STAGES_MAX)
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(ContentStage {
                stage: row.try_get("stage")?,
                state: row.try_get("state")?,
                percent: u32::try_from(row.try_get::<i64, _>("percent")?).unwrap_or(0),
                note: row.try_get("note")?,
                updated_ms: row.try_get("updated_ms")?,
            })
        })
        .collect()
}

/// Notes what a stage said, unless something later is known of it or the item is unknown.
pub(crate) async fn put_stage(
    conn: &mut AnyConnection,
    id: &ContentId,
    stage: &ContentStage,
) -> Result<(), ContentError> {
    sqlx::query(
        "INSERT INTO content_stage (content_id, stage, state, percent, note, updated_ms)
         SELECT $1, $2, $3, $4, $5, $6
         WHERE EXISTS (SELECT 1 FROM content WHERE content_id = $1 AND deleted_ms IS NULL)
           AND (SELECT COUNT(*) FROM content_stage WHERE content_id = $1 AND stage <> $2) < $7
         ON CONFLICT (content_id, stage) DO UPDATE SET
            state = excluded.state, percent = excluded.percent, note = excluded.note, updated_ms = excluded.updated_ms
         WHERE content_stage.updated_ms <= excluded.updated_ms",
    )
    .bind(id.as_str())
    .bind(stage.stage.as_str())
    .bind(stage.state.as_str())
    .bind(i64::from(stage.percent.min(100)))
    .bind(stage.note.as_str())
    .bind(stage.updated_ms)
    .bind(STAGES_MAX)
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets the stages.
pub(crate) async fn clear_stages(
    conn: &mut AnyConnection,
    id: &ContentId,
) -> Result<(), ContentError> {
    sqlx::query("DELETE FROM content_stage WHERE content_id = $1")
        .bind(id.as_str())
        .execute(conn)
        .await?;
    Ok(())
}

fn record_of(id: &ContentId, row: &AnyRow) -> Result<ContentRecord, ContentError> {
    let organisation: Option<String> = row.try_get("organisation_id")?;
    Ok(ContentRecord {
        content_id: id.clone(),
        owner_id: named(id, row, "owner_id")?,
        organisation_id: organisation
            .map(|text| {
                text.parse()
                    .map_err(|_| corrupt(id, "organisation_id", &text))
            })
            .transpose()?,
        residency: named(id, row, "residency")?,
        media_type: named(id, row, "media_type")?,
        metadata: from_json::<UploadMetadata>(id, row, "metadata_json")?,
        facts: Facts {
            initiated_ms: row.try_get("initiated_ms")?,
            playable_ms: row.try_get("playable_ms")?,
            held_ms: row.try_get("held_ms")?,
            approved_ms: row.try_get("approved_ms")?,
            published_ms: row.try_get("published_ms")?,
            blocked_ms: row.try_get("blocked_ms")?,
            failed_ms: row.try_get("failed_ms")?,
            deleted_ms: row.try_get("deleted_ms")?,
        },
        status_reason: row.try_get("status_reason")?,
        duration_ms: u64::try_from(row.try_get::<i64, _>("duration_ms")?).unwrap_or(0),
        renditions: from_json(id, row, "renditions_json")?,
        complete: row.try_get::<i64, _>("complete")? != 0,
        thumbnails: from_json(id, row, "thumbnails_json")?,
        created_ms: row.try_get("created_ms")?,
    })
}

/// A value that the API and tables write by name.
fn named<T: DeserializeOwned>(
    id: &ContentId,
    row: &AnyRow,
    column: &'static str,
) -> Result<T, ContentError> {
    let text: String = row.try_get(column)?;
    let name: StrDeserializer<'_, NameError> = text.as_str().into_deserializer();
    T::deserialize(name).map_err(|_| corrupt(id, column, &text))
}

fn from_json<T: DeserializeOwned>(
    id: &ContentId,
    row: &AnyRow,
    column: &'static str,
) -> Result<T, ContentError> {
    let text: String = row.try_get(column)?;
    serde_json::from_str(&text).map_err(|_| corrupt(id, column, &text))
}

/// Our own structs of texts and numbers always have a JSON form.
fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn corrupt(id: &ContentId, column: &'static str, value: &str) -> ContentError {
    ContentError::Corrupt {
        content_id: id.to_string(),
        column,
        value: value.chars().take(64).collect(),
    }
}
