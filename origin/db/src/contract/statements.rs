//! Rules about single statements and the schema.

use sqlx::Row;

use super::{ContractError, SCHEMA, fails_as, insert_item, items_visible, prepare, same};
use crate::{Db, DbErrorKind, Migration};

type Item = (Option<i64>, Option<f64>, Option<Vec<u8>>, Option<String>);

/// Each type holds its extremes, and NULL, without loss.
///
/// # Errors
/// When the engine breaks the rule.
pub async fn values_come_back(db: &Db) -> Result<(), ContractError> {
    prepare(db).await?;
    let every_byte: Vec<u8> = (0..=255).collect();
    let items: [Item; 4] = [
        (
            Some(i64::MAX),
            Some(f64::MIN_POSITIVE),
            Some(every_byte),
            Some("naïve 漢字 🦀 'quoted' \"$1\" ?".to_owned()),
        ),
        (
            Some(i64::MIN),
            Some(f64::MAX),
            Some(Vec::new()),
            Some(String::new()),
        ),
        (Some(0), Some(0.1), Some(vec![0]), Some("x".repeat(100_000))),
        (None, None, None, None),
    ];
    let mut tx = db.begin().await?;
    for (index, (number, ratio, body, note)) in items.iter().enumerate() {
        sqlx::query(
            "INSERT INTO contract_items (id, owner, number, ratio, body, note) VALUES ($1, 'ada', $2, $3, $4, $5)",
        )
        .bind(index.to_string())
        .bind(*number)
        .bind(*ratio)
        .bind(body.clone())
        .bind(note.clone())
        .execute(tx.conn())
        .await?;
    }
    tx.commit().await?;
    let mut connection = db.acquire().await?;
    let rows = sqlx::query("SELECT number, ratio, body, note FROM contract_items ORDER BY id")
        .fetch_all(connection.conn())
        .await?;
    same("number of rows", rows.len(), items.len())?;
    for (row, item) in rows.iter().zip(items) {
        let found: Item = (
            row.try_get(0)?,
            row.try_get(1)?,
            row.try_get(2)?,
            row.try_get("note")?,
        );
        same("values of a row", found, item)?;
    }
    Ok(())
}

/// `RETURNING` gives the rows of INSERT, UPDATE and DELETE, and a parameter may be used twice.
///
/// # Errors
/// When the engine breaks the rule.
pub async fn returning_gives_rows(db: &Db) -> Result<(), ContractError> {
    prepare(db).await?;
    let mut tx = db.begin().await?;
    let inserted: String = sqlx::query_scalar(
        "INSERT INTO contract_items (id, owner, note) VALUES ($1, 'ada', $1) RETURNING note",
    )
    .bind("a")
    .fetch_one(tx.conn())
    .await?;
    same("RETURNING of INSERT", inserted.as_str(), "a")?;
    insert_item(&mut tx, "b").await?;
    let updated: Vec<i64> = sqlx::query_scalar(
        "UPDATE contract_items SET number = $1 WHERE number IS NULL RETURNING number + 1",
    )
    .bind(41_i64)
    .fetch_all(tx.conn())
    .await?;
    same("RETURNING of UPDATE", updated, vec![42, 42])?;
    // Asking for at most one row must still do the whole statement.
    let one: Option<i64> =
        sqlx::query_scalar("UPDATE contract_items SET number = 7 RETURNING number")
            .fetch_optional(tx.conn())
            .await?;
    same("RETURNING, one row taken", one, Some(7))?;
    let changed: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM contract_items WHERE number = 7")
        .fetch_one(tx.conn())
        .await?;
    same(
        "rows changed by an UPDATE of which one row was taken",
        changed,
        2,
    )?;
    let deleted = sqlx::query("DELETE FROM contract_items RETURNING id")
        .fetch_all(tx.conn())
        .await?;
    same("RETURNING of DELETE", deleted.len(), 2)?;
    tx.commit().await?;
    same("rows left", items_visible(db).await?, 0)
}

/// `ON CONFLICT DO NOTHING` tells that nothing was done; `DO UPDATE` sees the row that was refused.
///
/// # Errors
/// When the engine breaks the rule.
pub async fn conflict_clauses_work(db: &Db) -> Result<(), ContractError> {
    prepare(db).await?;
    let mut tx = db.begin().await?;
    for expected in [1, 0] {
        let done = sqlx::query("INSERT INTO contract_items (id, owner) VALUES ('a', 'ada') ON CONFLICT (id) DO NOTHING")
            .execute(tx.conn())
            .await?;
        same(
            "rows of ON CONFLICT DO NOTHING",
            done.rows_affected(),
            expected,
        )?;
    }
    for expected in [5, 10] {
        let total: i64 = sqlx::query_scalar(
            "INSERT INTO contract_owners (name, total) VALUES ('grace', $1)
            ON CONFLICT (name) DO UPDATE SET total = contract_owners.total + excluded.total RETURNING total",
        )
        .bind(5_i64)
        .fetch_one(tx.conn())
        .await?;
        same("ON CONFLICT DO UPDATE", total, expected)?;
    }
    tx.commit().await?;
    Ok(())
}

/// A primary key or a unique index that is violated is told from any other failure; NULLs do not collide.
///
/// # Errors
/// When the engine breaks the rule.
pub async fn unique_violation_is_known(db: &Db) -> Result<(), ContractError> {
    prepare(db).await?;
    let mut tx = db.begin().await?;
    sqlx::query("INSERT INTO contract_items (id, owner, note) VALUES ('a', 'ada', 'n')")
        .execute(tx.conn())
        .await?;
    insert_item(&mut tx, "b").await?;
    insert_item(&mut tx, "c").await?;
    tx.commit().await?;

    let mut tx = db.begin().await?;
    let again = insert_item(&mut tx, "a").await;
    fails_as(
        "primary key that exists",
        again,
        DbErrorKind::UniqueViolation,
    )?;
    drop(tx);
    let mut tx = db.begin().await?;
    let again = sqlx::query("UPDATE contract_items SET note = 'n' WHERE id = 'b'")
        .execute(tx.conn())
        .await;
    fails_as("unique index", again, DbErrorKind::UniqueViolation)?;
    drop(tx);
    same("rows after refused writes", items_visible(db).await?, 3)
}

/// A reference to nothing is refused, and so is removing what is referred to.
///
/// # Errors
/// When the engine breaks the rule.
pub async fn foreign_keys_are_enforced(db: &Db) -> Result<(), ContractError> {
    prepare(db).await?;
    let mut tx = db.begin().await?;
    let orphan = sqlx::query("INSERT INTO contract_items (id, owner) VALUES ('a', 'nobody')")
        .execute(tx.conn())
        .await;
    fails_as(
        "reference to nothing",
        orphan,
        DbErrorKind::ForeignKeyViolation,
    )?;
    drop(tx);
    let mut tx = db.begin().await?;
    insert_item(&mut tx, "a").await?;
    let removal = sqlx::query("DELETE FROM contract_owners WHERE name = 'ada'")
        .execute(tx.conn())
        .await;
    fails_as(
        "removal of what is referred to",
        removal,
        DbErrorKind::ForeignKeyViolation,
    )
}

/// `CHECK` and `NOT NULL` refuse a row.
///
/// # Errors
/// When the engine breaks the rule.
pub async fn checks_are_enforced(db: &Db) -> Result<(), ContractError> {
    prepare(db).await?;
    let mut tx = db.begin().await?;
    let negative = sqlx::query("UPDATE contract_owners SET total = -1")
        .execute(tx.conn())
        .await;
    fails_as("CHECK", negative, DbErrorKind::CheckViolation)?;
    drop(tx);
    let mut tx = db.begin().await?;
    let missing = sqlx::query("INSERT INTO contract_owners (name) VALUES ('grace')")
        .execute(tx.conn())
        .await;
    fails_as("NOT NULL", missing, DbErrorKind::CheckViolation)?;
    drop(tx);
    let mut tx = db.begin().await?;
    let none = sqlx::query("SELECT name FROM contract_owners WHERE name = 'nobody'")
        .fetch_one(tx.conn())
        .await;
    fails_as(
        "fetch_one of nothing",
        none.map(|row| row.len()),
        DbErrorKind::NotFound,
    )?;
    drop(tx);
    let mut tx = db.begin().await?;
    let wrong = sqlx::query("SELECT 1 FROM contract_nothing")
        .execute(tx.conn())
        .await;
    fails_as("unknown table", wrong, DbErrorKind::Invalid)
}

/// Migrations are applied once and all or none; a changed, unknown or late one is refused.
///
/// # Errors
/// When the engine breaks the rule.
pub async fn migrations_are_checked(db: &Db) -> Result<(), ContractError> {
    const COMPONENT: &str = "contract-migrations";
    const STEP_2: Migration = Migration {
        version: 2,
        name: "add rows",
        sql: "CREATE TABLE IF NOT EXISTS contract_steps (step BIGINT NOT NULL);
            INSERT INTO contract_steps (step) VALUES (2);",
    };
    const STEP_3: Migration = Migration {
        version: 3,
        name: "add a row",
        sql: "INSERT INTO contract_steps (step) VALUES (3);",
    };
    const STEP_4_FAILS: Migration = Migration {
        version: 4,
        name: "fail half way",
        sql: "INSERT INTO contract_steps (step) VALUES (4); INSERT INTO contract_steps (step) VALUES (NULL);",
    };
    let steps = async || -> Result<Vec<i64>, ContractError> {
        let mut connection = db.acquire().await?;
        Ok(
            sqlx::query_scalar("SELECT step FROM contract_steps ORDER BY step")
                .fetch_all(connection.conn())
                .await?,
        )
    };
    prepare(db).await?;
    for _ in 0..2 {
        db.migrate_as(COMPONENT, &[STEP_2, STEP_3]).await?;
        same("steps applied", steps().await?, vec![2, 3])?;
    }

    let changed = Migration {
        sql: "SELECT 1;",
        ..STEP_3
    };
    let late = Migration {
        version: 1,
        ..STEP_3
    };
    let refused: [(&'static str, &[Migration]); 4] = [
        ("changed migration", &[STEP_2, changed]),
        ("database newer than the build", &[STEP_2]),
        ("migration before an applied one", &[late, STEP_2, STEP_3]),
        ("versions that do not rise", &[STEP_3, STEP_2]),
    ];
    for (what, migrations) in refused {
        fails_as(
            what,
            db.migrate_as(COMPONENT, migrations).await,
            DbErrorKind::Migration,
        )?;
    }
    let failing = db
        .migrate_as(COMPONENT, &[STEP_2, STEP_3, STEP_4_FAILS])
        .await;
    fails_as("migration that fails", failing, DbErrorKind::CheckViolation)?;
    same("steps after refusals", steps().await?, vec![2, 3])?;
    // Another component's versions are its own.
    db.migrate_as("contract", &SCHEMA).await?;
    Ok(())
}
