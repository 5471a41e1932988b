//! Exactly once: the event's id is stored in the transaction of its effect.

use std::time::Duration;

use async_trait::async_trait;
use mcsp_db::{Db, DbError, Migration, Tx};
use mcsp_runtime::SharedClock;
use uuid::Uuid;

use super::{HandleError, Handler, Job, Processor};
use crate::{Record, envelope};

/// The table of consumed events, for a service that lists all its migrations itself; a consumer makes it otherwise.
pub const MIGRATION_SQL: &str = "
CREATE TABLE IF NOT EXISTS consumed_events (
    consumer_group TEXT NOT NULL,
    event_id TEXT NOT NULL,
    consumed_ms BIGINT NOT NULL,
    PRIMARY KEY (consumer_group, event_id)
);
CREATE INDEX IF NOT EXISTS consumed_events_by_time ON consumed_events (consumer_group, consumed_ms)";

const MIGRATIONS: [Migration; 1] = [Migration {
    version: 1,
    name: "consumed events",
    sql: MIGRATION_SQL,
}];

/// The most rows that one pruning transaction removes, and the most such transactions in a row.
const PRUNE_ROWS_MAX: i64 = 500;
const PRUNE_STEPS_MAX: usize = 100;

/// What a group has consumed.
#[derive(Debug)]
pub(super) struct Ledger {
    db: Db,
    group: String,
    kept: Duration,
    clock: SharedClock,
}

impl Ledger {
    pub(super) fn new(db: Db, group: &str, kept: Duration, clock: SharedClock) -> Self {
        Self {
            db,
            group: group.to_owned(),
            kept,
            clock,
        }
    }

    pub(super) async fn migrate(&self) -> Result<(), DbError> {
        self.db.migrate_as("consumer", &MIGRATIONS).await
    }

    async fn knows(&self, id: Uuid) -> Result<bool, HandleError> {
        let mut connection = self.db.acquire().await?;
        let row = sqlx::query(
            "SELECT 1 FROM consumed_events WHERE consumer_group = $1 AND event_id = $2",
        )
        .bind(self.group.as_str())
        .bind(id.to_string())
        .fetch_optional(connection.conn())
        .await?;
        Ok(row.is_some())
    }

    /// A transaction in which the event counts as consumed; `None` when it was consumed before. Whoever else is at
    /// the same event waits here, or finds it consumed.
    async fn begin(&self, id: Uuid) -> Result<Option<Tx>, HandleError> {
        let mut tx = self.db.begin().await?;
        let inserted = sqlx::query(
            "INSERT INTO consumed_events (consumer_group, event_id, consumed_ms) VALUES ($1, $2, $3)
             ON CONFLICT (consumer_group, event_id) DO NOTHING",
        )
        .bind(self.group.as_str())
        .bind(id.to_string())
        .bind(self.clock.now_ms())
        .execute(tx.conn())
        .await?;
        if inserted.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(None);
        }
        Ok(Some(tx))
    }

    /// Forgets ids that the log does not hold any more.
    async fn prune(&self) {
        for _ in 0..PRUNE_STEPS_MAX {
            match self.prune_step().await {
                Ok(removed) if removed == PRUNE_ROWS_MAX as u64 => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(group = self.group, error = %error, "consumed events were not pruned");
                    return;
                }
            }
        }
    }

    async fn prune_step(&self) -> Result<u64, DbError> {
        let kept_ms = i64::try_from(self.kept.as_millis()).unwrap_or(i64::MAX);
        let mut tx = self.db.begin().await?;
        let removed = sqlx::query(
            "DELETE FROM consumed_events WHERE consumer_group = $1 AND event_id IN
             (SELECT event_id FROM consumed_events WHERE consumer_group = $1 AND consumed_ms < $2 LIMIT $3)",
        )
        .bind(self.group.as_str())
        .bind(self.clock.now_ms().saturating_sub(kept_ms))
        .bind(PRUNE_ROWS_MAX)
        .execute(tx.conn())
        .await?;
        tx.commit().await?;
        Ok(removed.rows_affected())
    }
}

/// A [`Handler`] with its ledger.
pub(super) struct HandlerProcessor<H> {
    handler: H,
    ledger: Ledger,
}

impl<H> HandlerProcessor<H> {
    pub(super) fn new(handler: H, ledger: Ledger) -> Self {
        Self { handler, ledger }
    }
}

#[async_trait]
impl<H: Handler> Processor for HandlerProcessor<H> {
    fn topics(&self) -> Vec<String> {
        self.handler.topics()
    }

    async fn process(&self, record: &Record) -> Result<(), HandleError> {
        let id = envelope::event_id(record)?;
        let Some(mut tx) = self.ledger.begin(id).await? else {
            return Ok(());
        };
        self.handler.handle(record, &mut tx).await?;
        Ok(tx.commit().await?)
    }

    async fn maintain(&self) {
        self.ledger.prune().await;
    }
}

/// A [`Job`] with its ledger.
pub(super) struct JobProcessor<J> {
    job: J,
    ledger: Ledger,
}

impl<J> JobProcessor<J> {
    pub(super) fn new(job: J, ledger: Ledger) -> Self {
        Self { job, ledger }
    }
}

#[async_trait]
impl<J: Job> Processor for JobProcessor<J> {
    fn topics(&self) -> Vec<String> {
        self.job.topics()
    }

    async fn process(&self, record: &Record) -> Result<(), HandleError> {
        let id = envelope::event_id(record)?;
        if self.ledger.knows(id).await? {
            return Ok(());
        }
        let effect = self.job.work(record).await?;
        let Some(mut tx) = self.ledger.begin(id).await? else {
            return Ok(());
        };
        self.job.apply(record, effect, &mut tx).await?;
        Ok(tx.commit().await?)
    }

    async fn buried(&self, record: &Record, error: &HandleError) -> Result<(), HandleError> {
        let mut tx = self.ledger.db.begin().await?;
        self.job.give_up(record, error, &mut tx).await?;
        Ok(tx.commit().await?)
    }

    async fn maintain(&self) {
        self.ledger.prune().await;
    }
}
