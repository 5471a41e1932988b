//! What was acknowledged survives `kill -9`.

use mcsp_db::Db;
use mcsp_kill::{acknowledge, target, until_killed};

use crate::{NUMBERS, numbers};

/// Writes rising numbers for ever and says each one after its commit; run by the test below as a process of its own.
#[tokio::test]
#[ignore = "the child process of nothing_acknowledged_is_lost"]
async fn writer() {
    let Some(uri) = target() else { return };
    let db = Db::open(uri.to_str().unwrap()).await.unwrap();
    db.migrate(&NUMBERS).await.unwrap();
    for number in numbers(&db).await.last().copied().unwrap_or(0) + 1.. {
        let mut tx = db.begin().await.unwrap();
        sqlx::query("INSERT INTO numbers (number) VALUES ($1)")
            .bind(number)
            .execute(tx.conn())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        acknowledge(number).unwrap();
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let uri = format!("sqlite:{}/a.db", folder.path().display());
    let mut written = 0;
    for enough in [1, 7, 40, 100] {
        let said = until_killed("kill::writer", &uri, enough).unwrap();
        let expected: Vec<String> = (written + 1..)
            .take(said.len())
            .map(|number: i64| number.to_string())
            .collect();
        assert_eq!(said, expected);
        let acknowledged = written + i64::try_from(said.len()).unwrap();

        let db = Db::open(&uri).await.unwrap();
        let found = numbers(&db).await;
        let dense: Vec<i64> = (1..).take(found.len()).collect();
        assert_eq!(found, dense);
        written = found.last().copied().unwrap();
        // At most the one whose acknowledgement the kill cut off.
        assert!(
            written == acknowledged || written == acknowledged + 1,
            "{written} found, {acknowledged} acknowledged"
        );
        db.close().await;
    }
}
