//! The relational engine from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod contract;
mod faults;
mod kill;
mod sqlite;

use mcsp_db::{Db, Migration};

/// One table of numbers.
const NUMBERS: [Migration; 1] = [Migration {
    version: 1,
    name: "numbers",
    sql: "CREATE TABLE numbers (number BIGINT NOT NULL PRIMARY KEY);",
}];

async fn numbers(db: &Db) -> Vec<i64> {
    let mut connection = db.acquire().await.unwrap();
    sqlx::query_scalar("SELECT number FROM numbers ORDER BY number")
        .fetch_all(connection.conn())
        .await
        .unwrap()
}
