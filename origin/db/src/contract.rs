//! What every relational engine must pass, so that a service can run on any of them.
//!
//! [`run`] checks all rules on one database; each rule is a function of its own too. The tables that it makes begin
//! with `contract_`.

mod concurrency;
mod statements;

use std::fmt::Debug;

use thiserror::Error;

pub use concurrency::{
    cancelled_work_leaves_no_lock, dropped_transaction_is_rolled_back, readers_cannot_write,
    uncommitted_is_invisible, writers_do_not_lose_updates,
};
pub use statements::{
    checks_are_enforced, conflict_clauses_work, foreign_keys_are_enforced, migrations_are_checked,
    returning_gives_rows, unique_violation_is_known, values_come_back,
};

use crate::{Db, DbError, Migration};

/// A rule that an engine breaks.
#[derive(Debug, Error)]
pub enum ContractError {
    /// It did something else than what was expected.
    #[error("relational contract: {what}: expected {expected}, found {found}")]
    Broken {
        /// What was looked at.
        what: &'static str,
        /// What the contract says.
        expected: String,
        /// What the engine did.
        found: String,
    },
    /// It failed where it must not.
    #[error("relational contract: {0}")]
    Failed(#[from] DbError),
}

impl From<sqlx::Error> for ContractError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// Checks every rule.
///
/// # Errors
/// The first rule that is broken.
pub async fn run(db: &Db) -> Result<(), ContractError> {
    values_come_back(db).await?;
    returning_gives_rows(db).await?;
    conflict_clauses_work(db).await?;
    unique_violation_is_known(db).await?;
    foreign_keys_are_enforced(db).await?;
    checks_are_enforced(db).await?;
    migrations_are_checked(db).await?;
    dropped_transaction_is_rolled_back(db).await?;
    uncommitted_is_invisible(db).await?;
    readers_cannot_write(db).await?;
    writers_do_not_lose_updates(db).await?;
    cancelled_work_leaves_no_lock(db).await
}

const SCHEMA: [Migration; 1] = [Migration {
    version: 1,
    name: "tables of the contract",
    sql: "CREATE TABLE contract_owners (
            name TEXT NOT NULL PRIMARY KEY,
            total BIGINT NOT NULL CHECK (total >= 0)
        );
        CREATE TABLE contract_items (
            id TEXT NOT NULL PRIMARY KEY,
            owner TEXT NOT NULL REFERENCES contract_owners (name),
            number BIGINT,
            ratio DOUBLE PRECISION,
            body {blob},
            note TEXT
        );
        CREATE UNIQUE INDEX contract_items_note ON contract_items (note);",
}];

/// Makes the tables, empties them and adds the owner `ada`.
async fn prepare(db: &Db) -> Result<(), ContractError> {
    db.migrate_as("contract", &SCHEMA).await?;
    let mut tx = db.begin().await?;
    sqlx::query("DELETE FROM contract_items")
        .execute(tx.conn())
        .await?;
    sqlx::query("DELETE FROM contract_owners")
        .execute(tx.conn())
        .await?;
    sqlx::query("INSERT INTO contract_owners (name, total) VALUES ('ada', 0)")
        .execute(tx.conn())
        .await?;
    tx.commit().await?;
    Ok(())
}

/// Adds an item with nothing but its key.
async fn insert_item(tx: &mut crate::Tx, id: &str) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO contract_items (id, owner) VALUES ($1, 'ada')")
        .bind(id)
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// How many items a reader sees now.
async fn items_visible(db: &Db) -> Result<i64, ContractError> {
    let mut connection = db.acquire().await?;
    Ok(sqlx::query_scalar("SELECT COUNT(*) FROM contract_items")
        .fetch_one(connection.conn())
        .await?)
}

fn same<T: PartialEq + Debug>(
    what: &'static str,
    found: T,
    expected: T,
) -> Result<(), ContractError> {
    if found == expected {
        return Ok(());
    }
    Err(ContractError::Broken {
        what,
        expected: format!("{expected:?}"),
        found: format!("{found:?}"),
    })
}

/// Expects a failure of a kind.
fn fails_as<T: Debug>(
    what: &'static str,
    result: Result<T, impl Into<DbError>>,
    expected: crate::DbErrorKind,
) -> Result<(), ContractError> {
    let found = match result {
        Ok(value) => format!("success with {value:?}"),
        Err(error) => {
            let error = error.into();
            if error.kind() == expected {
                return Ok(());
            }
            format!("{:?} ({error})", error.kind())
        }
    };
    Err(ContractError::Broken {
        what,
        expected: format!("{expected:?}"),
        found,
    })
}
