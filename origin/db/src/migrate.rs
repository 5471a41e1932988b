//! The schema's history.

use std::collections::BTreeMap;

use mcsp_runtime::hex_lower;
use sqlx::{AssertSqlSafe, Row};

use crate::error::{DbError, DbErrorKind};
use crate::{Engine, Tx};

/// Stands in a migration for the engine's type of binary columns, which has no portable name.
pub const BLOB: &str = "{blob}";

/// One step of a schema. Once released it never changes; what is wrong with it is put right by a later one.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Orders the steps of one component; rises, need not be dense.
    pub version: i64,
    /// What it does, for people.
    pub name: &'static str,
    /// Statements, separated by semicolons; [`BLOB`] is replaced by the engine's type.
    pub sql: &'static str,
}

pub(crate) async fn apply(
    tx: &mut Tx,
    engine: Engine,
    component: &str,
    migrations: &[Migration],
) -> Result<(), DbError> {
    check_order(component, migrations)?;
    create_history(tx).await?;
    let mut applied = applied(tx, component).await?;
    let newest_applied = applied.keys().next_back().copied();
    for migration in migrations {
        let checksum = checksum(migration);
        match applied.remove(&migration.version) {
            Some(known) if known == checksum => continue,
            Some(known) => {
                return Err(refused(
                    component,
                    migration,
                    &format!(
                        "was changed after it was applied: its checksum was {known} and is {checksum}"
                    ),
                ));
            }
            None if Some(migration.version) < newest_applied => {
                return Err(refused(
                    component,
                    migration,
                    "comes before one that is applied already",
                ));
            }
            None => {}
        }
        // The statements are constants of the program, with one fixed replacement.
        let sql = AssertSqlSafe(migration.sql.replace(BLOB, blob_type(engine)));
        sqlx::raw_sql(sql)
            .execute(tx.conn())
            .await
            .map_err(|error| {
                DbError::of_migration(component, migration.version, migration.name, error)
            })?;
        sqlx::query("INSERT INTO mcsp_migrations (component, version, name, checksum) VALUES ($1, $2, $3, $4)")
            .bind(component)
            .bind(migration.version)
            .bind(migration.name)
            .bind(checksum)
            .execute(tx.conn())
            .await?;
        tracing::info!(
            component,
            version = migration.version,
            name = migration.name,
            "migration applied"
        );
    }
    match applied.keys().next() {
        None => Ok(()),
        Some(version) => Err(DbError::new(
            DbErrorKind::Migration,
            format!(
                "migration {version} of {component:?} is applied and this build does not know it: the database is newer"
            ),
        )),
    }
}

fn check_order(component: &str, migrations: &[Migration]) -> Result<(), DbError> {
    for pair in migrations.windows(2) {
        if let [before, after] = pair
            && before.version >= after.version
        {
            return Err(refused(
                component,
                after,
                "must have a higher version than the one before it",
            ));
        }
    }
    Ok(())
}

async fn create_history(tx: &mut Tx) -> Result<(), DbError> {
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS mcsp_migrations (
            component TEXT NOT NULL,
            version BIGINT NOT NULL,
            name TEXT NOT NULL,
            checksum TEXT NOT NULL,
            PRIMARY KEY (component, version)
        )",
    )
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn applied(tx: &mut Tx, component: &str) -> Result<BTreeMap<i64, String>, DbError> {
    let rows = sqlx::query("SELECT version, checksum FROM mcsp_migrations WHERE component = $1")
        .bind(component)
        .fetch_all(tx.conn())
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("version")?, row.try_get("checksum")?)))
        .collect()
}

fn checksum(migration: &Migration) -> String {
    hex_lower(
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, migration.sql.as_bytes()).as_ref(),
    )
}

fn blob_type(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "BLOB",
    }
}

fn refused(component: &str, migration: &Migration, why: &str) -> DbError {
    let Migration { version, name, .. } = migration;
    DbError::new(
        DbErrorKind::Migration,
        format!("migration {version} {name:?} of {component:?} {why}"),
    )
}
