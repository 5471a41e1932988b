//! Rules about transactions beside each other.

use std::future::pending;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{ContractError, fails_as, insert_item, items_visible, prepare, same};
use crate::{Db, DbError, DbErrorKind};

const WRITERS: i64 = 8;
const UPDATES_PER_WRITER: i64 = 25;
/// More than enough for a serializable engine that makes one of two transactions try again.
const TRIES: u32 = 100;

/// What a dropped or rolled back transaction did is gone, and the next one may begin.
///
/// # Errors
/// When the engine breaks the rule.
pub async fn dropped_transaction_is_rolled_back(db: &Db) -> Result<(), ContractError> {
    prepare(db).await?;
    for _ in 0..3 {
        let mut tx = db.begin().await?;
        insert_item(&mut tx, "a").await?;
        drop(tx);
    }
    let mut tx = db.begin().await?;
    insert_item(&mut tx, "a").await?;
    tx.rollback().await?;
    same("rows after rollback", items_visible(db).await?, 0)?;
    let mut tx = db.begin().await?;
    insert_item(&mut tx, "a").await?;
    tx.commit().await?;
    same("rows after commit", items_visible(db).await?, 1)
}

/// A reader sees nothing of a transaction before its commit and all of it after; it does not wait for the writer.
///
/// # Errors
/// When the engine breaks the rule.
pub async fn uncommitted_is_invisible(db: &Db) -> Result<(), ContractError> {
    prepare(db).await?;
    let mut tx = db.begin().await?;
    insert_item(&mut tx, "a").await?;
    insert_item(&mut tx, "b").await?;
    same("rows seen before the commit", items_visible(db).await?, 0)?;
    let own: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM contract_items")
        .fetch_one(tx.conn())
        .await?;
    same("rows that the transaction itself sees", own, 2)?;
    tx.commit().await?;
    same("rows seen after the commit", items_visible(db).await?, 2)
}

/// A connection for reading refuses to write, so that no write goes around the transactions.
///
/// # Errors
/// When the engine breaks the rule.
pub async fn readers_cannot_write(db: &Db) -> Result<(), ContractError> {
    prepare(db).await?;
    let mut connection = db.acquire().await?;
    let write = sqlx::query("DELETE FROM contract_owners")
        .execute(connection.conn())
        .await;
    fails_as(
        "write on a connection for reading",
        write,
        DbErrorKind::ReadOnly,
    )
}

/// Many tasks that read a number, add one and write it back lose nothing: transactions are serializable.
///
/// # Errors
/// When the engine breaks the rule.
pub async fn writers_do_not_lose_updates(db: &Db) -> Result<(), ContractError> {
    prepare(db).await?;
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let db = db.clone();
        writers.spawn(async move {
            for _ in 0..UPDATES_PER_WRITER {
                add_one_with_retry(&db).await?;
            }
            Ok::<_, DbError>(())
        });
    }
    while let Some(done) = writers.join_next().await {
        done.map_err(|error| DbError::new(DbErrorKind::Invalid, error.to_string()))??;
    }
    same(
        "sum of all updates",
        total(db).await?,
        WRITERS * UPDATES_PER_WRITER,
    )
}

/// Work that is cancelled at any moment leaves no transaction open and no half of it behind.
///
/// # Errors
/// When the engine breaks the rule.
pub async fn cancelled_work_leaves_no_lock(db: &Db) -> Result<(), ContractError> {
    prepare(db).await?;
    let (holding, held) = oneshot::channel();
    let task = tokio::spawn({
        let db = db.clone();
        async move {
            let mut tx = db.begin().await?;
            insert_item(&mut tx, "a").await?;
            let _ = holding.send(());
            pending::<Result<(), DbError>>().await
        }
    });
    let waited = held.await;
    task.abort();
    let _ = task.await;
    same(
        "the task to cancel held its transaction",
        waited.is_ok(),
        true,
    )?;
    same("rows of a cancelled task", items_visible(db).await?, 0)?;

    // Cancelled ever later: while it waits, begins, reads, writes, commits.
    let mut acknowledged = 0;
    let attempts = 60;
    for attempt in 0..attempts {
        let result = timeout(Duration::from_micros(attempt * 25), add_one(db)).await;
        acknowledged += i64::from(matches!(result, Ok(Ok(()))));
        let mut tx = db.begin().await?;
        sqlx::query("UPDATE contract_owners SET total = total WHERE name = 'ada'")
            .execute(tx.conn())
            .await?;
        tx.commit().await?;
    }
    let found = total(db).await?;
    let possible = acknowledged..=i64::try_from(attempts).unwrap_or(i64::MAX);
    same(
        "total lies between what was acknowledged and what was tried",
        possible.contains(&found),
        true,
    )
}

async fn add_one_with_retry(db: &Db) -> Result<(), DbError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match add_one(db).await {
            Err(error)
                if error.is_retryable()
                    && error.kind() != DbErrorKind::CommitUnknown
                    && tries < TRIES => {}
            result => return result,
        }
    }
}

async fn add_one(db: &Db) -> Result<(), DbError> {
    let mut tx = db.begin().await?;
    let total: i64 = sqlx::query_scalar("SELECT total FROM contract_owners WHERE name = 'ada'")
        .fetch_one(tx.conn())
        .await?;
    sqlx::query("UPDATE contract_owners SET total = $1 WHERE name = 'ada'")
        .bind(total + 1)
        .execute(tx.conn())
        .await?;
    tx.commit().await
}

async fn total(db: &Db) -> Result<i64, ContractError> {
    let mut connection = db.acquire().await?;
    Ok(
        sqlx::query_scalar("SELECT total FROM contract_owners WHERE name = 'ada'")
            .fetch_one(connection.conn())
            .await?,
    )
}
