//! What is particular to `SQLite`.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use mcsp_db::{Db, DbErrorKind, Engine};

use crate::{NUMBERS, numbers};

#[tokio::test]
async fn every_connection_is_durable_and_checks_foreign_keys() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&format!(
        "sqlite:{}/a.db?readers_max=2",
        folder.path().display()
    ))
    .await
    .unwrap();
    assert_eq!(db.engine(), Engine::Sqlite);
    let mut tx = db.begin().await.unwrap();
    let mut reader_1 = db.acquire().await.unwrap();
    let mut reader_2 = db.acquire().await.unwrap();
    for connection in [tx.conn(), reader_1.conn(), reader_2.conn()] {
        let journal: String = sqlx::query_scalar("PRAGMA journal_mode")
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        let foreign_keys: i64 = sqlx::query_scalar("PRAGMA foreign_keys")
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        let busy_ms: i64 = sqlx::query_scalar("PRAGMA busy_timeout")
            .fetch_one(&mut *connection)
            .await
            .unwrap();
        // synchronous 2 is FULL.
        assert_eq!(
            (journal.as_str(), synchronous, foreign_keys, busy_ms),
            ("wal", 2, 1, 5000)
        );
    }
}

#[tokio::test]
async fn what_it_creates_is_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/deep/ü %41?&#.db");
    let uri = format!("sqlite://{}", path.display()).replace('?', "_");
    let path = path.with_file_name("ü %41_&#.db");
    let db = Db::open(&uri).await.unwrap();
    db.migrate(&NUMBERS).await.unwrap();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(&path.with_file_name("ü %41_&#.db-wal")), 0o600);
}

#[tokio::test]
async fn what_is_closed_can_be_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let uri = format!("sqlite:{}/a.db", folder.path().display());
    let db = Db::open(&uri).await.unwrap();
    db.migrate(&NUMBERS).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    sqlx::query("INSERT INTO numbers (number) VALUES (7)")
        .execute(tx.conn())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    db.close().await;
    assert_eq!(
        db.begin().await.unwrap_err().kind(),
        DbErrorKind::Unavailable
    );
    assert_eq!(numbers(&Db::open(&uri).await.unwrap()).await, [7]);
}

#[tokio::test]
async fn temporary_databases_are_apart_and_leave_nothing() {
    let one = Db::open("sqlite::memory:").await.unwrap();
    let other = Db::open("sqlite::memory:").await.unwrap();
    one.migrate(&NUMBERS).await.unwrap();
    let mut connection = other.acquire().await.unwrap();
    let error = sqlx::query("SELECT number FROM numbers")
        .execute(connection.conn())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no such table"), "{error}");
    let path: String = sqlx::query_scalar("SELECT file FROM pragma_database_list")
        .fetch_one(connection.conn())
        .await
        .unwrap();
    drop(other);
    assert!(
        std::fs::exists(&path).unwrap(),
        "removed while a connection reads it"
    );
    drop(connection);
    assert!(!std::fs::exists(&path).unwrap());
}

#[tokio::test]
async fn a_writer_waits_for_its_turn_and_not_for_ever() {
    let db = Db::open("sqlite::memory:?acquire_timeout_ms=50")
        .await
        .unwrap();
    let tx = db.begin().await.unwrap();
    let error = db.begin().await.unwrap_err();
    assert_eq!(error.kind(), DbErrorKind::Unavailable);
    assert!(error.is_retryable());
    drop(tx);
    // What was dropped is undone beside this: a slow machine may take longer with it than a writer waits.
    let turn = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            match db.begin().await {
                Ok(tx) => return tx,
                Err(error) => assert_eq!(error.kind(), DbErrorKind::Unavailable),
            }
        }
    });
    turn.await.unwrap().commit().await.unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_a_storage_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    std::fs::write(
        &path,
        b"not a database, but long enough to be looked at as one".repeat(100),
    )
    .unwrap();
    let error = Db::open(&format!("sqlite:{}", path.display()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), DbErrorKind::Storage, "{error}");
    assert!(error.to_string().contains("a.db"), "{error}");
    let error = Db::open("sqlite:/proc/nowhere/a.db").await.unwrap_err();
    assert_eq!(error.kind(), DbErrorKind::Storage, "{error}");
}

#[tokio::test]
async fn a_uri_that_cannot_be_used_says_why() {
    for (uri, why) in [
        (
            "postgres://localhost/a",
            "no relational engine named \"postgres\" in this build; there are: sqlite, faulty",
        ),
        (
            "faulty:postgres://localhost/a",
            "no relational engine named \"postgres\"",
        ),
        ("/a.db", "no scheme"),
        ("sqlite:", "has no path"),
        (
            "sqlite:/a.db?readers=2",
            "there are readers_max and acquire_timeout_ms",
        ),
        (
            "sqlite:/a.db?readers_max=0",
            "\"0\" is not a whole number from 1 to 64",
        ),
        (
            "sqlite:/a.db?acquire_timeout_ms=x",
            "\"acquire_timeout_ms\"",
        ),
        ("faulty:sqlite:/a.db?error_rate=2", "\"error_rate\""),
    ] {
        let error = Db::open(uri).await.unwrap_err();
        assert_eq!(error.kind(), DbErrorKind::Uri, "{uri}: {error}");
        assert!(error.to_string().contains(why), "{uri}: {error}");
        assert!(!error.is_retryable());
    }
}

/// As when a person's shell or a backup works on a running service's database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_owners_of_one_file_do_not_fail_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let uri = format!("sqlite:{}/a.db", folder.path().display());
    let owners = [Db::open(&uri).await.unwrap(), Db::open(&uri).await.unwrap()];
    owners[0].migrate(&NUMBERS).await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for db in owners.iter().cycle().take(4) {
        let db = db.clone();
        writers.spawn(async move {
            for _ in 0..25 {
                let mut tx = db.begin().await.unwrap();
                // A read first: with a lock that is only upgraded at the write, this fails at once.
                let last: Option<i64> = sqlx::query_scalar("SELECT MAX(number) FROM numbers")
                    .fetch_one(tx.conn())
                    .await
                    .unwrap();
                sqlx::query("INSERT INTO numbers (number) VALUES ($1)")
                    .bind(last.unwrap_or(0) + 1)
                    .execute(tx.conn())
                    .await
                    .unwrap();
                tx.commit().await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    assert_eq!(numbers(&owners[0]).await, (1..=100).collect::<Vec<i64>>());
}
