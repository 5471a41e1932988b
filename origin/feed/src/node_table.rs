//! Who follows the feed, kept over restarts: a node that was away when the process began again is still missed.

use std::collections::HashMap;
use std::time::Duration;

use mcsp_db::{Db, DbError, Migration};
use mcsp_runtime::Shutdown;
use sqlx::Row as _;
use tokio::time::MissedTickBehavior;

use crate::Feed;
use crate::nodes::Subscriber;

/// How often what changed is written. What is lost, nodes say again when they reconnect.
const EVERY: Duration = Duration::from_secs(5);
/// By how much the time of a sign of life must have moved to be written for its own sake, milliseconds.
const HEARD_STEP_MS: i64 = 60_000;

const MIGRATIONS: [Migration; 1] = [Migration {
    version: 1,
    name: "nodes",
    sql: "CREATE TABLE feed_nodes (
            name TEXT PRIMARY KEY,
            pop TEXT,
            epoch TEXT NOT NULL,
            applied_sequence BIGINT NOT NULL,
            applied_ms BIGINT NOT NULL,
            heard_ms BIGINT NOT NULL
          )",
}];

/// The table of the feed's subscribers.
#[derive(Debug)]
pub struct NodeTable {
    feed: Feed,
    db: Db,
    /// As it was last written.
    written: HashMap<String, Subscriber>,
}

impl NodeTable {
    /// Makes the table if it is new, and tells the feed of whom it knows.
    ///
    /// # Errors
    /// The database's.
    pub async fn open(feed: Feed, db: Db) -> Result<Self, DbError> {
        db.migrate_as("feed-nodes", &MIGRATIONS).await?;
        let known = load(&db, feed.epoch()).await?;
        let written = known.iter().map(|node| (node.name.clone(), node.clone()));
        let written = written.collect();
        feed.nodes().restore(known);
        Ok(Self { feed, db, written })
    }

    /// Writes what changes until it is told to stop. A write that fails is tried again with the next.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_over = tokio::select! {
                () = shutdown.wait() => true,
                _ = ticks.tick() => false,
            };
            if let Err(error) = self.save().await {
                tracing::warn!(%error, "the feed's nodes were not written down");
            }
            if is_over {
                return;
            }
        }
    }

    /// Writes what changed.
    ///
    /// # Errors
    /// The database's; nothing was written then.
    pub async fn save(&mut self) -> Result<(), DbError> {
        let now_ms = self.feed.now_ms();
        let (gone, here): (Vec<_>, Vec<_>) = self
            .feed
            .subscribers()
            .into_iter()
            .partition(|node| node.is_forgotten(now_ms));
        let changed: Vec<&Subscriber> = here.iter().filter(|node| self.is_news(node)).collect();
        let gone: Vec<&Subscriber> = gone
            .iter()
            .filter(|node| self.written.contains_key(&node.name))
            .collect();
        if changed.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        for node in &changed {
            sqlx::query(
                "INSERT INTO feed_nodes (name, pop, epoch, applied_sequence, applied_ms, heard_ms)
                 VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (name) DO UPDATE SET pop = excluded.pop, epoch = excluded.epoch,
                    applied_sequence = excluded.applied_sequence, applied_ms = excluded.applied_ms,
                    heard_ms = excluded.heard_ms",
            )
            .bind(node.name.clone())
            .bind(node.pop.clone())
            .bind(self.feed.epoch().to_owned())
            .bind(i64::try_from(node.applied_sequence).unwrap_or(i64::MAX))
            .bind(node.applied_ms)
            .bind(node.heard_ms)
            .execute(tx.conn())
            .await?;
        }
        for node in &gone {
            sqlx::query("DELETE FROM feed_nodes WHERE name = $1")
                .bind(node.name.clone())
                .execute(tx.conn())
                .await?;
        }
        tx.commit().await?;
        for node in gone {
            self.written.remove(&node.name);
        }
        for node in changed {
            self.written.insert(node.name.clone(), node.clone());
        }
        Ok(())
    }

    fn is_news(&self, node: &Subscriber) -> bool {
        self.written.get(&node.name).is_none_or(|written| {
            written.applied_sequence != node.applied_sequence
                || node.heard_ms.saturating_sub(written.heard_ms) >= HEARD_STEP_MS
        })
    }
}

async fn load(db: &Db, epoch: &str) -> Result<Vec<Subscriber>, DbError> {
    let mut connection = db.acquire().await?;
    let rows = sqlx::query(
        "SELECT name, pop, epoch, applied_sequence, applied_ms, heard_ms FROM feed_nodes ORDER BY name",
    )
    .fetch_all(connection.conn())
    .await?;
    let node_of = |row: &sqlx::any::AnyRow| -> Result<Subscriber, sqlx::Error> {
        // What was applied of another feed says nothing of this one.
        let is_same = row.try_get::<String, _>("epoch")? == epoch;
        let applied: i64 = row.try_get("applied_sequence")?;
        Ok(Subscriber {
            name: row.try_get("name")?,
            pop: row.try_get("pop")?,
            applied_sequence: u64::try_from(applied).ok().filter(|_| is_same).unwrap_or(0),
            applied_ms: row.try_get::<i64, _>("applied_ms")? * i64::from(is_same),
            heard_ms: row.try_get("heard_ms")?,
            streams: 0,
        })
    };
    Ok(rows.iter().map(node_of).collect::<Result<_, _>>()?)
}
