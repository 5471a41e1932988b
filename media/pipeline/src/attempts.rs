//! How often a stage was tried on an event, however the tries ended.

use std::sync::Arc;

use mcsp_db::{Db, DbError, Migration, Tx};
use mcsp_runtime::SharedClock;
use sqlx::Row;
use uuid::Uuid;

/// Runs that ended with the whole process, in a row, before the event is taken for their cause. A machine that is taken
/// away ends some; a file that takes the worker down ends all.
const STARTS_MAX: u32 = 20;

const MIGRATIONS: [Migration; 1] = [Migration {
    version: 1,
    name: "stage attempts",
    sql: "
CREATE TABLE IF NOT EXISTS stage_attempts (
    consumer_group TEXT NOT NULL,
    event_id TEXT NOT NULL,
    starts BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    PRIMARY KEY (consumer_group, event_id)
)",
}];

/// May the stage be tried?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Yes.
    Go,
    /// The process ended too often in the middle of it.
    Exhausted { starts: u32 },
}

/// The attempts of one stage.
#[derive(Debug, Clone)]
pub(crate) struct Attempts {
    db: Db,
    group: &'static str,
    clock: SharedClock,
}

impl Attempts {
    pub(crate) fn new(db: Db, group: &'static str, clock: SharedClock) -> Self {
        Self {
            db,
            group,
            clock: Arc::clone(&clock),
        }
    }

    pub(crate) async fn migrate(db: &Db) -> Result<(), DbError> {
        db.migrate_as("stage-attempts", &MIGRATIONS).await
    }

    /// A run begins.
    pub(crate) async fn begin(&self, id: Uuid) -> Result<Standing, DbError> {
        let starts = self
            .change(
                id,
                "INSERT INTO stage_attempts (consumer_group, event_id, starts, failures, updated_ms)
                 VALUES ($1, $2, 1, 0, $3)
                 ON CONFLICT (consumer_group, event_id)
                 DO UPDATE SET starts = stage_attempts.starts + 1, updated_ms = excluded.updated_ms
                 RETURNING starts",
            )
            .await?;
        Ok(if starts > STARTS_MAX {
            Standing::Exhausted { starts: starts - 1 }
        } else {
            Standing::Go
        })
    }

    /// The run ended with a failure; returns how many there were.
    pub(crate) async fn fail(&self, id: Uuid) -> Result<u32, DbError> {
        self.change(
            id,
            "UPDATE stage_attempts SET starts = 0, failures = failures + 1, updated_ms = $3
             WHERE consumer_group = $1 AND event_id = $2 RETURNING failures",
        )
        .await
    }

    /// The run ended for a reason that does not count.
    pub(crate) async fn excuse(&self, id: Uuid) -> Result<(), DbError> {
        self.change(
            id,
            "UPDATE stage_attempts SET starts = 0, updated_ms = $3
             WHERE consumer_group = $1 AND event_id = $2 RETURNING starts",
        )
        .await
        .map(|_| ())
    }

    /// The event was dealt with.
    pub(crate) async fn forget(&self, id: Uuid, tx: &mut Tx) -> Result<(), DbError> {
        sqlx::query("DELETE FROM stage_attempts WHERE consumer_group = $1 AND event_id = $2")
            .bind(self.group)
            .bind(id.to_string())
            .execute(tx.conn())
            .await?;
        Ok(())
    }

    async fn change(&self, id: Uuid, statement: &'static str) -> Result<u32, DbError> {
        let mut tx = self.db.begin().await?;
        let row = sqlx::query(statement)
            .bind(self.group)
            .bind(id.to_string())
            .bind(self.clock.now_ms())
            .fetch_optional(tx.conn())
            .await?;
        let count: i64 = row.map(|row| row.try_get(0)).transpose()?.unwrap_or(0);
        tx.commit().await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_runtime::ManualClock;

    #[tokio::test]
    async fn failures_count_and_ends_of_the_process_are_bounded() {
        let db = Db::open("sqlite::memory:").await.unwrap();
        Attempts::migrate(&db).await.unwrap();
        let attempts = Attempts::new(db.clone(), "group", ManualClock::new(5));
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        for failures in 1..=3 {
            assert_eq!(attempts.begin(one).await.unwrap(), Standing::Go);
            assert_eq!(attempts.fail(one).await.unwrap(), failures);
        }
        for _ in 0..STARTS_MAX {
            assert_eq!(attempts.begin(one).await.unwrap(), Standing::Go);
        }
        assert_eq!(
            attempts.begin(one).await.unwrap(),
            Standing::Exhausted { starts: STARTS_MAX }
        );
        for _ in 0..2 * STARTS_MAX {
            assert_eq!(attempts.begin(other).await.unwrap(), Standing::Go);
            attempts.excuse(other).await.unwrap();
        }
        let mut tx = db.begin().await.unwrap();
        attempts.forget(one, &mut tx).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(attempts.begin(one).await.unwrap(), Standing::Go);
    }
}
