//! What was acknowledged survives `kill -9`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use mcsp_db::Db;

use crate::{NUMBERS, numbers};

const URI: &str = "MCSP_TEST_KILL_URI";
const ACKNOWLEDGED: &str = "acknowledged ";

/// Writes rising numbers for ever and says each one after its commit; run by the test below as a process of its own.
#[tokio::test]
#[ignore = "the child process of nothing_acknowledged_is_lost"]
async fn writer() {
    let Ok(uri) = std::env::var(URI) else { return };
    let db = Db::open(&uri).await.unwrap();
    db.migrate(&NUMBERS).await.unwrap();
    let mut out = std::io::stdout().lock();
    writeln!(out).unwrap();
    for number in numbers(&db).await.last().copied().unwrap_or(0) + 1.. {
        let mut tx = db.begin().await.unwrap();
        sqlx::query("INSERT INTO numbers (number) VALUES ($1)")
            .bind(number)
            .execute(tx.conn())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        writeln!(out, "{ACKNOWLEDGED}{number}").unwrap();
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let uri = format!("sqlite:{}/a.db", folder.path().display());
    let mut acknowledged = 0;
    for kill_after in [1, 7, 40, 100] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kill::writer", "--exact", "--ignored", "--nocapture"])
            .env(URI, &uri)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let before = acknowledged;
        // The pipe still holds what the child said before its death.
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let Some(number) = line
                .unwrap()
                .strip_prefix(ACKNOWLEDGED)
                .and_then(|n| n.parse().ok())
            else {
                continue;
            };
            assert_eq!(number, acknowledged + 1);
            acknowledged = number;
            if acknowledged == before + kill_after {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(
            acknowledged >= before + kill_after,
            "the writer stopped by itself"
        );

        let db = Db::open(&uri).await.unwrap();
        let found = numbers(&db).await;
        let dense: Vec<i64> = (1..).take(found.len()).collect();
        assert_eq!(found, dense);
        let last = found.last().copied().unwrap();
        // At most the one whose acknowledgement the kill cut off.
        assert!(
            last == acknowledged || last == acknowledged + 1,
            "{last} found, {acknowledged} acknowledged"
        );
        acknowledged = last;
        db.close().await;
    }
}
