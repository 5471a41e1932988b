//! The upload service's tables. Nobody else reads them.

use mcsp_api::{UploadId, UserId};
use mcsp_db::Migration;
use serde::de::value::{Error as NameError, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::error::UploadError;
use crate::session::{RememberedRequest, Session, SessionStatus};

/// The service's schema.
pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "sessions and remembered requests",
    sql: "
        CREATE TABLE upload_session (
            upload_id TEXT PRIMARY KEY,
            content_id TEXT NOT NULL UNIQUE,
            owner_id TEXT NOT NULL,
            organisation_id TEXT,
            request_json TEXT NOT NULL,
            residency TEXT NOT NULL,
            bucket TEXT NOT NULL,
            object_key TEXT NOT NULL,
            multipart_id TEXT,
            part_size_bytes BIGINT NOT NULL,
            status TEXT NOT NULL,
            cleaned BIGINT NOT NULL,
            created_ms BIGINT NOT NULL,
            expires_ms BIGINT NOT NULL,
            checked_ms BIGINT NOT NULL,
            finished_ms BIGINT
        );
        CREATE INDEX upload_session_by_owner ON upload_session (owner_id, status);
        CREATE INDEX upload_session_by_status ON upload_session (status, cleaned, checked_ms);
        CREATE TABLE upload_request (
            owner_id TEXT NOT NULL,
            idempotency_key TEXT NOT NULL,
            request_json TEXT NOT NULL,
            decision_json TEXT NOT NULL,
            upload_id TEXT NOT NULL,
            created_ms BIGINT NOT NULL,
            PRIMARY KEY (owner_id, idempotency_key)
        );
        CREATE INDEX upload_request_by_age ON upload_request (created_ms);
    ",
}];

const COLUMNS: &str = "upload_id, content_id, owner_id, organisation_id, request_json, residency, bucket, object_key, \
                       multipart_id, part_size_bytes, status, expires_ms";

/// What was answered under this key.
pub(crate) async fn remembered(
    conn: &mut AnyConnection,
    owner_id: &UserId,
    idempotency_key: &str,
) -> Result<Option<RememberedRequest>, UploadError> {
    let row = sqlx::query(
        "SELECT request_json, decision_json, upload_id FROM upload_request
         WHERE owner_id = $1 AND idempotency_key = $2",
    )
    .bind(owner_id.as_str())
    .bind(idempotency_key)
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(RememberedRequest {
            owner_id: owner_id.clone(),
            idempotency_key: idempotency_key.to_owned(),
            request_json: row.try_get("request_json")?,
            decision_json: row.try_get("decision_json")?,
            upload_id: named(&row, "upload_id")?,
        })
    })
    .transpose()
}

/// Remembers the request unless its key is taken; true when it was added.
pub(crate) async fn remember(
    conn: &mut AnyConnection,
    request: &RememberedRequest,
    now_ms: i64,
) -> Result<bool, UploadError> {
    let result = sqlx::query(
        "INSERT INTO upload_request (owner_id, idempotency_key, request_json, decision_json, upload_id, created_ms)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (owner_id, idempotency_key) DO NOTHING",
    )
    .bind(request.owner_id.as_str())
    .bind(request.idempotency_key.as_str())
    .bind(request.request_json.as_str())
    .bind(request.decision_json.as_str())
    .bind(request.upload_id.as_str())
    .bind(now_ms)
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Forgets requests from before `before_ms`; how many.
pub(crate) async fn forget_requests(
    conn: &mut AnyConnection,
    before_ms: i64,
) -> Result<u64, UploadError> {
    let result = sqlx::query("DELETE FROM upload_request WHERE created_ms < $1")
        .bind(before_ms)
        .execute(conn)
        .await?;
    Ok(result.rows_affected())
}

/// Adds the session in `CREATING` unless there is one with its id.
pub(crate) async fn insert(
    conn: &mut AnyConnection,
    session: &Session,
    now_ms: i64,
) -> Result<(), UploadError> {
    sqlx::query(
        "INSERT INTO upload_session (upload_id, content_id, owner_id, organisation_id, request_json, residency, bucket,
            object_key, part_size_bytes, status, cleaned, created_ms, expires_ms, checked_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'CREATING', 0, $10, $11, $10)
         ON CONFLICT (upload_id) DO NOTHING",
    )
    .bind(session.upload_id.as_str())
    .bind(session.content_id.as_str())
    .bind(session.owner_id.as_str())
    .bind(session.organisation_id.as_ref().map(|id| id.as_str().to_owned()))
    // Our own struct of texts and numbers always has a JSON form.
    .bind(serde_json::to_string(&session.request).unwrap_or_default())
    .bind(session.residency.as_str())
    .bind(session.bucket.as_str())
    .bind(session.object_key.as_str())
    .bind(i64::try_from(session.part_size_bytes).unwrap_or(i64::MAX))
    .bind(now_ms)
    .bind(session.expires_ms)
    .execute(conn)
    .await?;
    Ok(())
}

/// The session.
pub(crate) async fn load(
    conn: &mut AnyConnection,
    id: &UploadId,
) -> Result<Option<Session>, UploadError> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM upload_session WHERE upload_id = $1"
    )))
    .bind(id.as_str())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(session_of).transpose()
}

/// How many sessions of this owner are not finished.
pub(crate) async fn count_unfinished(
    conn: &mut AnyConnection,
    owner_id: &UserId,
) -> Result<u64, UploadError> {
    let row = sqlx::query(
        "SELECT COUNT(*) AS sessions FROM upload_session WHERE owner_id = $1 AND status IN ('CREATING', 'OPEN')",
    )
    .bind(owner_id.as_str())
    .fetch_one(conn)
    .await?;
    Ok(u64::try_from(row.try_get::<i64, _>("sessions")?).unwrap_or(0))
}

/// Names the multipart upload unless another call did so first; true when it is this one's.
pub(crate) async fn set_multipart(
    conn: &mut AnyConnection,
    id: &UploadId,
    multipart_id: &str,
) -> Result<bool, UploadError> {
    let result = sqlx::query(
        "UPDATE upload_session SET multipart_id = $2
         WHERE upload_id = $1 AND multipart_id IS NULL AND status = 'CREATING'",
    )
    .bind(id.as_str())
    .bind(multipart_id)
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// Moves a session from one status to another; true when it was in the first.
pub(crate) async fn advance(
    conn: &mut AnyConnection,
    id: &UploadId,
    from: SessionStatus,
    to: SessionStatus,
    now_ms: i64,
) -> Result<bool, UploadError> {
    let finished_ms = to.is_finished().then_some(now_ms);
    let result = sqlx::query(
        "UPDATE upload_session SET status = $3, finished_ms = COALESCE(finished_ms, $4)
         WHERE upload_id = $1 AND status = $2",
    )
    .bind(id.as_str())
    .bind(from.as_str())
    .bind(to.as_str())
    .bind(finished_ms)
    .execute(conn)
    .await?;
    Ok(result.rows_affected() == 1)
}

/// The unfinished sessions that were looked at longest ago.
pub(crate) async fn unfinished(
    conn: &mut AnyConnection,
    sessions_max: u32,
) -> Result<Vec<Session>, UploadError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM upload_session WHERE status IN ('CREATING', 'OPEN') ORDER BY checked_ms LIMIT $1"
    )))
    .bind(i64::from(sessions_max))
    .fetch_all(conn)
    .await?;
    rows.iter().map(session_of).collect()
}

/// Sessions that were given up and whose bytes may still be there.
pub(crate) async fn uncleaned(
    conn: &mut AnyConnection,
    sessions_max: u32,
) -> Result<Vec<Session>, UploadError> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM upload_session WHERE status IN ('CANCELLED', 'EXPIRED') AND cleaned = 0
         ORDER BY checked_ms LIMIT $1"
    )))
    .bind(i64::from(sessions_max))
    .fetch_all(conn)
    .await?;
    rows.iter().map(session_of).collect()
}

/// Notes that the reconciler looked.
pub(crate) async fn set_checked(
    conn: &mut AnyConnection,
    id: &UploadId,
    now_ms: i64,
) -> Result<(), UploadError> {
    sqlx::query("UPDATE upload_session SET checked_ms = $2 WHERE upload_id = $1")
        .bind(id.as_str())
        .bind(now_ms)
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes that nothing is left of a session that was given up.
pub(crate) async fn set_cleaned(
    conn: &mut AnyConnection,
    id: &UploadId,
) -> Result<(), UploadError> {
    sqlx::query("UPDATE upload_session SET cleaned = 1 WHERE upload_id = $1")
        .bind(id.as_str())
        .execute(conn)
        .await?;
    Ok(())
}

fn session_of(row: &AnyRow) -> Result<Session, UploadError> {
    let request_json: String = row.try_get("request_json")?;
    let organisation: Option<String> = row.try_get("organisation_id")?;
    Ok(Session {
        upload_id: named(row, "upload_id")?,
        content_id: named(row, "content_id")?,
        owner_id: named(row, "owner_id")?,
        organisation_id: organisation
            .map(|text| {
                text.parse()
                    .map_err(|_| UploadError::corrupt("organisation_id", &text))
            })
            .transpose()?,
        request: serde_json::from_str(&request_json)
            .map_err(|_| UploadError::corrupt("request_json", &request_json))?,
        residency: named(row, "residency")?,
        bucket: row.try_get("bucket")?,
        object_key: row.try_get("object_key")?,
        multipart_id: row.try_get("multipart_id")?,
        part_size_bytes: u64::try_from(row.try_get::<i64, _>("part_size_bytes")?)
            .unwrap_or(u64::MAX)
            .max(1),
        status: named(row, "status")?,
        expires_ms: row.try_get("expires_ms")?,
    })
}

/// A value that the API and tables write by name.
fn named<T: DeserializeOwned>(row: &AnyRow, column: &'static str) -> Result<T, UploadError> {
    let text: String = row.try_get(column)?;
    let name: StrDeserializer<'_, NameError> = text.as_str().into_deserializer();
    T::deserialize(name).map_err(|_| UploadError::corrupt(column, &text))
}
