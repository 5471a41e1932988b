//! What `faulty:` does, and that idempotent work with retries comes through it exactly once.

use mcsp_db::{Db, DbError, DbErrorKind};

use crate::{NUMBERS, numbers};

async fn insert(db: &Db, number: i64) -> Result<(), DbError> {
    let mut tx = db.begin().await?;
    sqlx::query("INSERT INTO numbers (number) VALUES ($1) ON CONFLICT (number) DO NOTHING")
        .bind(number)
        .execute(tx.conn())
        .await?;
    tx.commit().await
}

#[tokio::test]
async fn an_error_before_has_no_effect_and_is_marked() {
    let db = Db::open("faulty:sqlite::memory:?error_rate=1")
        .await
        .unwrap();
    db.migrate(&NUMBERS).await.unwrap();
    for error in [
        db.begin().await.unwrap_err(),
        db.acquire().await.unwrap_err(),
        db.ping().await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), DbErrorKind::Unavailable);
        assert!(error.is_retryable() && error.is_injected(), "{error}");
    }
}

#[tokio::test]
async fn a_lost_acknowledgement_has_its_effect_and_says_that_it_may() {
    let db = Db::open("faulty:sqlite::memory:?lost_ack_rate=1")
        .await
        .unwrap();
    db.migrate(&NUMBERS).await.unwrap();
    let error = insert(&db, 1).await.unwrap_err();
    assert_eq!(error.kind(), DbErrorKind::CommitUnknown);
    assert!(error.is_retryable() && error.is_injected(), "{error}");
    assert_eq!(numbers(&db).await, [1]);
}

#[tokio::test]
async fn one_seed_gives_one_sequence_of_outcomes() {
    async fn outcomes(seed: u64) -> Vec<Option<DbErrorKind>> {
        let db = Db::open(&format!(
            "faulty:sqlite::memory:?seed={seed}&error_rate=0.2&lost_ack_rate=0.2"
        ))
        .await
        .unwrap();
        db.migrate(&NUMBERS).await.unwrap();
        let mut outcomes = Vec::new();
        for number in 0..60 {
            outcomes.push(insert(&db, number).await.err().map(|error| error.kind()));
        }
        outcomes
    }
    let first = outcomes(1).await;
    assert_eq!(first, outcomes(1).await);
    assert_ne!(first, outcomes(2).await);
    for kind in [
        None,
        Some(DbErrorKind::Unavailable),
        Some(DbErrorKind::CommitUnknown),
    ] {
        assert!(first.contains(&kind), "{kind:?} never happened");
    }
}

#[tokio::test]
async fn idempotent_work_with_retries_happens_exactly_once() {
    for seed in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let uri = format!("sqlite:{}/a.db", folder.path().display());
        let db = Db::open(&format!(
            "faulty:{uri}?seed={seed}&error_rate=0.2&lost_ack_rate=0.2"
        ))
        .await
        .unwrap();
        db.migrate(&NUMBERS).await.unwrap();
        for number in 0..30 {
            let mut tries = 0;
            while let Err(error) = insert(&db, number).await {
                tries += 1;
                assert!(error.is_retryable() && tries < 100, "seed {seed}: {error}");
            }
        }
        let plain = Db::open(&uri).await.unwrap();
        assert_eq!(
            numbers(&plain).await,
            (0..30).collect::<Vec<i64>>(),
            "seed {seed}"
        );
    }
}
