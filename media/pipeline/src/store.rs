//! What the stages tell each other beside events: descriptions of sources and renditions.

use mcsp_api::events::MediaType;
use mcsp_api::{ContentId, Residency};
use mcsp_db::{Db, DbError, Migration, Tx};
use mcsp_media_package::RenditionInfo;
use mcsp_media_probe::Probe;
use sqlx::Row;

use crate::error::StageError;

const MIGRATIONS: [Migration; 1] = [Migration {
    version: 1,
    name: "items and renditions",
    sql: "
CREATE TABLE media_item (
    content_id TEXT NOT NULL PRIMARY KEY,
    residency TEXT NOT NULL,
    media_type TEXT NOT NULL,
    probe_json TEXT NOT NULL,
    updated_ms BIGINT NOT NULL
);
CREATE TABLE media_rendition (
    content_id TEXT NOT NULL,
    rendition_id TEXT NOT NULL,
    info_json TEXT NOT NULL,
    packaged BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    PRIMARY KEY (content_id, rendition_id)
);
CREATE TABLE media_given_up (
    content_id TEXT NOT NULL,
    stage TEXT NOT NULL,
    given_up_ms BIGINT NOT NULL,
    PRIMARY KEY (content_id, stage)
)",
}];

/// A rendition whose mezzanine is in object storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredRendition {
    pub(crate) info: RenditionInfo,
    /// Its segments and playlist are in object storage too.
    pub(crate) packaged: bool,
}

pub(crate) async fn migrate(db: &Db) -> Result<(), DbError> {
    db.migrate_as("media", &MIGRATIONS).await
}

/// What the probe found of the item's source, if it was probed.
pub(crate) async fn probe(db: &Db, id: &ContentId) -> Result<Option<Probe>, StageError> {
    let mut connection = db.acquire().await?;
    let row = sqlx::query("SELECT probe_json FROM media_item WHERE content_id = $1")
        .bind(id.as_str())
        .fetch_optional(connection.conn())
        .await?;
    let Some(row) = row else { return Ok(None) };
    let text: String = row.try_get(0)?;
    // A description of an earlier build's form is made anew.
    Ok(serde_json::from_str(&text).ok())
}

pub(crate) async fn put_item(
    tx: &mut Tx,
    id: &ContentId,
    residency: Residency,
    media_type: MediaType,
    probe: &Probe,
    now_ms: i64,
) -> Result<(), StageError> {
    sqlx::query(
        "INSERT INTO media_item (content_id, residency, media_type, probe_json, updated_ms) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (content_id) DO UPDATE SET media_type = excluded.media_type, probe_json = excluded.probe_json,
         updated_ms = excluded.updated_ms",
    )
    .bind(id.as_str())
    .bind(residency.as_str())
    .bind(media_type.as_str())
    .bind(json(probe)?)
    .bind(now_ms)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The item's renditions, in the order of their ids.
pub(crate) async fn renditions(
    db: &Db,
    id: &ContentId,
) -> Result<Vec<StoredRendition>, StageError> {
    let mut connection = db.acquire().await?;
    let rows = sqlx::query(
        "SELECT info_json, packaged FROM media_rendition WHERE content_id = $1 ORDER BY rendition_id",
    )
    .bind(id.as_str())
    .fetch_all(connection.conn())
    .await?;
    rows.iter().map(rendition_of).collect()
}

fn rendition_of(row: &sqlx::any::AnyRow) -> Result<StoredRendition, StageError> {
    let (text, packaged): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
    let info = serde_json::from_str(&text)
        .map_err(|error| StageError::Retry(format!("description of a rendition: {error}")))?;
    Ok(StoredRendition {
        info,
        packaged: packaged != 0,
    })
}

/// Makes other transactions that add renditions to the item wait for this one, so that each sees what those before it
/// added.
pub(crate) async fn hold_item(tx: &mut Tx, id: &ContentId, now_ms: i64) -> Result<(), StageError> {
    sqlx::query("UPDATE media_item SET updated_ms = $2 WHERE content_id = $1")
        .bind(id.as_str())
        .bind(now_ms)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// The ids of the item's renditions, as of this transaction.
pub(crate) async fn rendition_ids(tx: &mut Tx, id: &ContentId) -> Result<Vec<String>, StageError> {
    let rows = sqlx::query("SELECT rendition_id FROM media_rendition WHERE content_id = $1")
        .bind(id.as_str())
        .fetch_all(tx.conn())
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Notes renditions whose mezzanines are in object storage. What is packaged already stays as it is.
pub(crate) async fn put_renditions(
    tx: &mut Tx,
    id: &ContentId,
    renditions: &[RenditionInfo],
    now_ms: i64,
) -> Result<(), StageError> {
    for info in renditions {
        sqlx::query(
            "INSERT INTO media_rendition (content_id, rendition_id, info_json, packaged, updated_ms)
             VALUES ($1, $2, $3, 0, $4)
             ON CONFLICT (content_id, rendition_id) DO UPDATE SET info_json = excluded.info_json,
             updated_ms = excluded.updated_ms WHERE media_rendition.packaged = 0",
        )
        .bind(id.as_str())
        .bind(info.id.as_str())
        .bind(json(info)?)
        .bind(now_ms)
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

/// Notes that a rendition's segments and playlist are in object storage.
pub(crate) async fn set_packaged(
    tx: &mut Tx,
    id: &ContentId,
    rendition_id: &str,
    now_ms: i64,
) -> Result<(), StageError> {
    sqlx::query(
        "UPDATE media_rendition SET packaged = 1, updated_ms = $3 WHERE content_id = $1 AND rendition_id = $2",
    )
    .bind(id.as_str())
    .bind(rendition_id)
    .bind(now_ms)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Has any rendition of the item been packaged? Within a transaction, as the answer decides what it writes.
pub(crate) async fn is_any_packaged(tx: &mut Tx, id: &ContentId) -> Result<bool, StageError> {
    let row =
        sqlx::query("SELECT COUNT(*) FROM media_rendition WHERE content_id = $1 AND packaged = 1")
            .bind(id.as_str())
            .fetch_one(tx.conn())
            .await?;
    Ok(row.try_get::<i64, _>(0)? > 0)
}

/// Notes that a stage gave the item up; false when that was noted before.
pub(crate) async fn put_given_up(
    tx: &mut Tx,
    id: &ContentId,
    stage: &str,
    now_ms: i64,
) -> Result<bool, StageError> {
    let done = sqlx::query(
        "INSERT INTO media_given_up (content_id, stage, given_up_ms) VALUES ($1, $2, $3)
         ON CONFLICT (content_id, stage) DO NOTHING",
    )
    .bind(id.as_str())
    .bind(stage)
    .bind(now_ms)
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() > 0)
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, StageError> {
    serde_json::to_string(value).map_err(|error| StageError::Retry(error.to_string()))
}
