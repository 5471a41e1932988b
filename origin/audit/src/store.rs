//! The table of entries.

use mcsp_db::{Engine, Migration, Tx};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::chain::{self, GENESIS_HASH};
use crate::entry::{AuditRecord, Draft, Phase};
use crate::error::AuditError;

const TABLE: Migration = Migration {
    version: 1,
    name: "audit entries",
    sql: "CREATE TABLE audit_entries (
            sequence BIGINT NOT NULL PRIMARY KEY,
            recorded_ms BIGINT NOT NULL,
            id TEXT NOT NULL,
            phase TEXT NOT NULL CHECK (phase IN ('intended', 'committed', 'aborted', 'recorded')),
            actor TEXT NOT NULL,
            action TEXT NOT NULL,
            object TEXT NOT NULL,
            detail_json TEXT NOT NULL,
            trace_id TEXT,
            previous_hash TEXT NOT NULL,
            hash TEXT NOT NULL
        );
        CREATE UNIQUE INDEX audit_entries_opening ON audit_entries (id) WHERE phase IN ('intended', 'recorded');
        CREATE UNIQUE INDEX audit_entries_resolution ON audit_entries (id) WHERE phase IN ('committed', 'aborted');
        CREATE INDEX audit_entries_object ON audit_entries (object, sequence);",
};

/// The order is checked on INSERT because `INSERT OR REPLACE` removes the old row without a DELETE trigger.
const SQLITE_APPEND_ONLY: Migration = Migration {
    version: 2,
    name: "audit entries are append-only",
    sql: "CREATE TRIGGER audit_entries_no_update BEFORE UPDATE ON audit_entries
        BEGIN SELECT RAISE(ABORT, 'audit entries are never changed'); END;
        CREATE TRIGGER audit_entries_no_delete BEFORE DELETE ON audit_entries
        BEGIN SELECT RAISE(ABORT, 'audit entries are never deleted'); END;
        CREATE TRIGGER audit_entries_in_order BEFORE INSERT ON audit_entries
        WHEN NEW.sequence <> (SELECT COALESCE(MAX(sequence), 0) + 1 FROM audit_entries)
        BEGIN SELECT RAISE(ABORT, 'audit entries are only added at the end'); END;",
};

pub(crate) fn migrations(engine: Engine) -> Vec<Migration> {
    match engine {
        Engine::Sqlite => vec![TABLE, SQLITE_APPEND_ONLY],
        // Rights do it there.
        _ => vec![TABLE],
    }
}

/// Adds the entry at the end, unless it is there: then that one is returned.
pub(crate) async fn append(
    tx: &mut Tx,
    draft: &Draft,
    now_ms: i64,
) -> Result<AuditRecord, AuditError> {
    if let Some(known) = existing(tx.conn(), draft).await? {
        return Ok(known);
    }
    let head =
        sqlx::query("SELECT sequence, hash FROM audit_entries ORDER BY sequence DESC LIMIT 1")
            .fetch_optional(tx.conn())
            .await?;
    let (last, previous_hash) = match head {
        Some(row) => (row.try_get("sequence")?, row.try_get("hash")?),
        None => (0_i64, GENESIS_HASH.to_owned()),
    };
    let mut record = AuditRecord {
        sequence: last.saturating_add(1),
        recorded_ms: now_ms,
        id: draft.id.clone(),
        phase: draft.phase,
        actor: draft.actor.clone(),
        action: draft.action.clone(),
        object: draft.object.clone(),
        detail_json: draft.detail_json.clone(),
        trace_id: draft.trace_id.clone(),
        previous_hash,
        hash: String::new(),
    };
    record.hash = chain::hash(&record);
    insert(tx.conn(), &record).await?;
    Ok(record)
}

async fn existing(
    connection: &mut AnyConnection,
    draft: &Draft,
) -> Result<Option<AuditRecord>, AuditError> {
    let rows = sqlx::query("SELECT * FROM audit_entries WHERE id = $1 ORDER BY sequence")
        .bind(draft.id.clone())
        .fetch_all(connection)
        .await?;
    let records = records(&rows)?;
    if draft.phase.is_resolution() && !records.iter().any(|record| record.phase == Phase::Intended)
    {
        return Err(AuditError::UnknownIntent {
            id: draft.id.clone(),
        });
    }
    let known = records
        .into_iter()
        .find(|record| record.phase.is_resolution() == draft.phase.is_resolution());
    match known {
        Some(record) if record.phase != draft.phase => Err(AuditError::AlreadyResolved {
            id: record.id,
            sequence: record.sequence,
        }),
        known => Ok(known),
    }
}

async fn insert(connection: &mut AnyConnection, record: &AuditRecord) -> Result<(), AuditError> {
    sqlx::query(
        "INSERT INTO audit_entries
            (sequence, recorded_ms, id, phase, actor, action, object, detail_json, trace_id, previous_hash, hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(record.sequence)
    .bind(record.recorded_ms)
    .bind(record.id.clone())
    .bind(record.phase.as_str())
    .bind(record.actor.clone())
    .bind(record.action.clone())
    .bind(record.object.clone())
    .bind(record.detail_json.clone())
    .bind(record.trace_id.clone())
    .bind(record.previous_hash.clone())
    .bind(record.hash.clone())
    .execute(connection)
    .await?;
    Ok(())
}

/// The announcement of an intent.
pub(crate) async fn intended(
    connection: &mut AnyConnection,
    id: &str,
) -> Result<Option<AuditRecord>, AuditError> {
    let row = sqlx::query("SELECT * FROM audit_entries WHERE id = $1 AND phase = 'intended'")
        .bind(id)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(record_of).transpose()
}

pub(crate) async fn open_intents(
    connection: &mut AnyConnection,
    before_ms: i64,
    entries_max: u32,
) -> Result<Vec<AuditRecord>, AuditError> {
    let rows = sqlx::query(
        "SELECT * FROM audit_entries AS opening WHERE phase = 'intended' AND recorded_ms < $1
        AND NOT EXISTS (SELECT 1 FROM audit_entries AS resolution
            WHERE resolution.id = opening.id AND resolution.phase IN ('committed', 'aborted'))
        ORDER BY sequence LIMIT $2",
    )
    .bind(before_ms)
    .bind(i64::from(entries_max))
    .fetch_all(connection)
    .await?;
    records(&rows)
}

pub(crate) async fn count_open_intents(connection: &mut AnyConnection) -> Result<u64, AuditError> {
    let open: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM audit_entries AS opening WHERE phase = 'intended'
        AND NOT EXISTS (SELECT 1 FROM audit_entries AS resolution
            WHERE resolution.id = opening.id AND resolution.phase IN ('committed', 'aborted'))",
    )
    .fetch_one(connection)
    .await?;
    Ok(open.unsigned_abs())
}

/// The highest sequence number; [`i64::MIN`] when there is no entry.
pub(crate) async fn last_sequence(connection: &mut AnyConnection) -> Result<i64, AuditError> {
    let last: Option<i64> = sqlx::query_scalar("SELECT MAX(sequence) FROM audit_entries")
        .fetch_one(connection)
        .await?;
    Ok(last.unwrap_or(i64::MIN))
}

/// A row of which only the place is known to be readable.
pub(crate) struct Row {
    pub(crate) sequence: i64,
    row: AnyRow,
}

impl Row {
    pub(crate) fn into_record(self) -> Result<AuditRecord, AuditError> {
        record_of(&self.row)
    }
}

pub(crate) async fn page(
    connection: &mut AnyConnection,
    after: i64,
    entries_max: u32,
) -> Result<Vec<Row>, AuditError> {
    let rows =
        sqlx::query("SELECT * FROM audit_entries WHERE sequence > $1 ORDER BY sequence LIMIT $2")
            .bind(after)
            .bind(i64::from(entries_max))
            .fetch_all(connection)
            .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Row {
                sequence: row.try_get("sequence")?,
                row,
            })
        })
        .collect()
}

pub(crate) async fn page_of_object(
    connection: &mut AnyConnection,
    object: &str,
    after: i64,
    entries_max: u32,
) -> Result<Vec<AuditRecord>, AuditError> {
    let rows =
        sqlx::query("SELECT * FROM audit_entries WHERE object = $1 AND sequence > $2 ORDER BY sequence LIMIT $3")
            .bind(object)
            .bind(after)
            .bind(i64::from(entries_max))
            .fetch_all(connection)
            .await?;
    records(&rows)
}

fn records(rows: &[AnyRow]) -> Result<Vec<AuditRecord>, AuditError> {
    rows.iter().map(record_of).collect()
}

fn record_of(row: &AnyRow) -> Result<AuditRecord, AuditError> {
    let sequence: i64 = row.try_get("sequence")?;
    let damaged = |reason: String| AuditError::Damaged { sequence, reason };
    let text = |column: &str| {
        row.try_get::<String, _>(column)
            .map_err(|error| damaged(error.to_string()))
    };
    Ok(AuditRecord {
        sequence,
        recorded_ms: row
            .try_get("recorded_ms")
            .map_err(|error| damaged(error.to_string()))?,
        id: text("id")?,
        phase: text("phase")?.parse().map_err(damaged)?,
        actor: text("actor")?,
        action: text("action")?,
        object: text("object")?,
        detail_json: text("detail_json")?,
        trace_id: row
            .try_get("trace_id")
            .map_err(|error| damaged(error.to_string()))?,
        previous_hash: text("previous_hash")?,
        hash: text("hash")?,
    })
}
