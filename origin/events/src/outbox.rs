//! The outbox: a state change and its event are written in one transaction; a relay brings the event to the log.
//!
//! In order, at least once: a row is removed after the log acknowledged it, so a crash in between appends it again,
//! and consumers skip what they know by its id. While the log is away, rows wait in the database.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcsp_db::{Db, DbError, Migration, Tx};
use mcsp_runtime::{SharedEntropy, Shutdown, SystemEntropy};
use sqlx::Row;
use thiserror::Error;
use tokio::sync::Notify;

use crate::consumer::RetryPolicy;
use crate::{EventError, NewRecord, READ_BYTES_MAX, SharedEventLog, metrics};

/// The tables of the outbox, for a service that lists all its migrations itself; [`Outbox::migrate`] applies it
/// otherwise. The counter gives rows the order of their commits: whoever adds one holds its row until then.
pub const MIGRATION_SQL: &str = "
CREATE TABLE IF NOT EXISTS outbox (
    sequence BIGINT NOT NULL PRIMARY KEY,
    topic TEXT NOT NULL,
    record_key TEXT NOT NULL,
    value {blob} NOT NULL,
    headers TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS outbox_counter (
    id BIGINT NOT NULL PRIMARY KEY,
    last_sequence BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS outbox_refused (
    sequence BIGINT NOT NULL PRIMARY KEY,
    topic TEXT NOT NULL,
    record_key TEXT NOT NULL,
    value {blob} NOT NULL,
    headers TEXT NOT NULL,
    reason TEXT NOT NULL
)";

const MIGRATIONS: [Migration; 1] = [Migration {
    version: 1,
    name: "outbox",
    sql: MIGRATION_SQL,
}];

/// The most rows that one append takes.
const BATCH_ROWS_MAX: i64 = 100;
/// How long the relay waits when nothing tells it of new rows; another process may have added some.
const IDLE: Duration = Duration::from_millis(250);
/// When the relay looks again after it was told of a row whose transaction is not committed yet.
const AFTER_ADD_MS: [u64; 5] = [2, 4, 8, 16, 32];
/// Between tries while the log or the database is away.
const AWAY: RetryPolicy = RetryPolicy {
    tries: u32::MAX,
    base_ms: 50,
    max_ms: 5_000,
};

/// Told whenever a row was added in this process, by whatever service. A relay that finds nothing loses one query.
static ADDED: Notify = Notify::const_new();

/// A service's outbox.
#[derive(Debug)]
pub struct Outbox;

impl Outbox {
    /// Makes the outbox's tables unless they are there.
    ///
    /// # Errors
    /// The database's.
    pub async fn migrate(db: &Db) -> Result<(), DbError> {
        db.migrate_as("outbox", &MIGRATIONS).await
    }

    /// Writes the record down in the transaction of the state change that it tells of.
    ///
    /// # Errors
    /// The database's; the transaction must then be dropped.
    pub async fn add(tx: &mut Tx, record: NewRecord) -> Result<(), DbError> {
        // A map of strings always has a JSON form.
        let headers = serde_json::to_string(&record.headers).unwrap_or_default();
        let row = sqlx::query(
            "INSERT INTO outbox_counter (id, last_sequence) VALUES (1, 1)
             ON CONFLICT (id) DO UPDATE SET last_sequence = outbox_counter.last_sequence + 1
             RETURNING last_sequence",
        )
        .fetch_one(tx.conn())
        .await?;
        let sequence: i64 = row.try_get(0)?;
        sqlx::query("INSERT INTO outbox (sequence, topic, record_key, value, headers) VALUES ($1, $2, $3, $4, $5)")
            .bind(sequence)
            .bind(record.topic)
            .bind(record.key)
            .bind(record.value.to_vec())
            .bind(headers)
            .execute(tx.conn())
            .await?;
        ADDED.notify_waiters();
        Ok(())
    }
}

/// Why a step of the relay failed.
#[derive(Debug, Error)]
pub enum RelayError {
    /// The database's.
    #[error("outbox: {0}")]
    Db(#[from] DbError),
    /// The log's.
    #[error("outbox: {0}")]
    Log(#[from] EventError),
}

impl RelayError {
    /// May the same step succeed later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Db(error) => error.is_retryable(),
            Self::Log(error) => error.is_retryable(),
        }
    }
}

impl From<sqlx::Error> for RelayError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Brings what is in a service's outbox to the log.
#[derive(Debug, Clone)]
pub struct OutboxRelay {
    db: Db,
    log: SharedEventLog,
    service: Arc<str>,
    entropy: SharedEntropy,
}

struct Pending {
    sequence: i64,
    record: NewRecord,
}

impl OutboxRelay {
    /// The relay of `service`, whose outbox is in `db`.
    #[must_use]
    pub fn new(db: Db, log: SharedEventLog, service: &str) -> Self {
        Self {
            db,
            log,
            service: Arc::from(service),
            entropy: SystemEntropy::shared(),
        }
    }

    /// Relays until it is told to stop. Keeps trying, ever more slowly, while the log or the database is away.
    pub async fn run(self, shutdown: Shutdown) {
        let mut failures = 0;
        loop {
            // Registered before the look, so that a row that is added meanwhile is not missed.
            let added = ADDED.notified();
            let wait = match self.step().await {
                Ok(0) => {
                    failures = 0;
                    let mut told = false;
                    tokio::select! {
                        () = shutdown.wait() => return,
                        () = added => told = true,
                        () = tokio::time::sleep(IDLE) => {}
                    }
                    if told {
                        self.await_commit().await;
                    }
                    Duration::ZERO
                }
                Ok(_) => {
                    failures = 0;
                    Duration::ZERO
                }
                Err(error) => {
                    failures += 1;
                    let wait = AWAY.delay(failures, &*self.entropy);
                    tracing::warn!(service = &*self.service, error = %error, failures, "outbox waits");
                    wait
                }
            };
            tokio::select! {
                biased;
                () = shutdown.wait() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Relays the oldest rows; returns how many left the outbox.
    ///
    /// # Errors
    /// When the log or the database is away; nothing is lost, and the same rows come again.
    pub async fn step(&self) -> Result<usize, RelayError> {
        let rows = self.oldest().await?;
        if rows.is_empty() {
            metrics::outbox_pending(&self.service, 0);
            return Ok(0);
        }
        metrics::outbox_pending(&self.service, self.pending(&rows).await?);
        let records = rows.iter().map(|row| row.record.clone()).collect();
        match self.log.append(records).await {
            Ok(_) => {}
            Err(EventError::Invalid(reason)) if rows.len() == 1 => {
                if let Some(row) = rows.first() {
                    self.set_aside(row, &reason).await?;
                }
                return Ok(1);
            }
            Err(EventError::Invalid(_)) => return self.one_by_one(rows).await,
            Err(error) => return Err(error.into()),
        }
        self.remove(&rows).await?;
        metrics::relayed(
            &self.service,
            "relayed",
            u64::try_from(rows.len()).unwrap_or(0),
        );
        Ok(rows.len())
    }

    /// After a batch was refused for one of its rows.
    async fn one_by_one(&self, rows: Vec<Pending>) -> Result<usize, RelayError> {
        let count = rows.len();
        for row in rows {
            match self.log.append(vec![row.record.clone()]).await {
                Ok(_) => {
                    self.remove(std::slice::from_ref(&row)).await?;
                    metrics::relayed(&self.service, "relayed", 1);
                }
                Err(EventError::Invalid(reason)) => self.set_aside(&row, &reason).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(count)
    }

    async fn oldest(&self) -> Result<Vec<Pending>, RelayError> {
        let mut connection = self.db.acquire().await?;
        let found = sqlx::query(
            "SELECT sequence, topic, record_key, value, headers FROM outbox ORDER BY sequence LIMIT $1",
        )
        .bind(BATCH_ROWS_MAX)
        .fetch_all(connection.conn())
        .await?;
        let mut rows = Vec::with_capacity(found.len());
        let mut bytes = 0;
        for row in found {
            let value: Vec<u8> = row.try_get(3)?;
            let headers: String = row.try_get(4)?;
            bytes += value.len() + headers.len();
            if bytes > READ_BYTES_MAX / 2 && !rows.is_empty() {
                break;
            }
            rows.push(Pending {
                sequence: row.try_get(0)?,
                record: NewRecord {
                    topic: row.try_get(1)?,
                    key: row.try_get(2)?,
                    value: Bytes::from(value),
                    // What `add` wrote always reads back; a row altered by hand goes without headers.
                    headers: serde_json::from_str::<BTreeMap<String, String>>(&headers)
                        .unwrap_or_default(),
                },
            });
        }
        Ok(rows)
    }

    /// How many rows the outbox holds, of which `rows` are the oldest.
    async fn pending(&self, rows: &[Pending]) -> Result<i64, RelayError> {
        let found = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        if found < BATCH_ROWS_MAX {
            return Ok(found);
        }
        let mut connection = self.db.acquire().await?;
        let row = sqlx::query("SELECT COUNT(*) FROM outbox")
            .fetch_one(connection.conn())
            .await?;
        Ok(row.try_get(0)?)
    }

    async fn remove(&self, rows: &[Pending]) -> Result<(), RelayError> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Ok(());
        };
        let mut tx = self.db.begin().await?;
        // Sequences rise in the order of commits, so nothing else lies between first and last.
        sqlx::query("DELETE FROM outbox WHERE sequence >= $1 AND sequence <= $2")
            .bind(first.sequence)
            .bind(last.sequence)
            .execute(tx.conn())
            .await?;
        Ok(tx.commit().await?)
    }

    /// A row that the log will never take must not hold up the rest; it is kept for a person to look at.
    async fn set_aside(&self, row: &Pending, reason: &str) -> Result<(), RelayError> {
        tracing::error!(
            service = &*self.service,
            topic = row.record.topic,
            sequence = row.sequence,
            reason,
            "the log refuses an event of the outbox; it is kept in outbox_refused"
        );
        let mut tx = self.db.begin().await?;
        sqlx::query(
            "INSERT INTO outbox_refused (sequence, topic, record_key, value, headers, reason)
             SELECT sequence, topic, record_key, value, headers, $2 FROM outbox WHERE sequence = $1
             ON CONFLICT (sequence) DO NOTHING",
        )
        .bind(row.sequence)
        .bind(reason)
        .execute(tx.conn())
        .await?;
        sqlx::query("DELETE FROM outbox WHERE sequence = $1")
            .bind(row.sequence)
            .execute(tx.conn())
            .await?;
        tx.commit().await?;
        metrics::relayed(&self.service, "refused", 1);
        Ok(())
    }

    /// Rows are announced before their transaction commits, which is a matter of milliseconds.
    async fn await_commit(&self) {
        for wait_ms in AFTER_ADD_MS {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            if !matches!(self.oldest().await, Ok(rows) if rows.is_empty()) {
                return;
            }
        }
    }
}
