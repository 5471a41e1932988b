//! The contract suite on each engine of this build.

use mcsp_db::{Db, contract};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_file() {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&format!("sqlite:{}/a.db", folder.path().display()))
        .await
        .unwrap();
    contract::run(&db).await.unwrap();
    // Once more on what it left behind.
    contract::run(&db).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_temporary() {
    contract::run(&Db::open("sqlite::memory:").await.unwrap())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faulty_without_faults() {
    contract::run(&Db::open("faulty:sqlite::memory:?seed=7").await.unwrap())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faulty_with_delays() {
    contract::run(
        &Db::open("faulty:sqlite::memory:?seed=7&delay_ms_max=2")
            .await
            .unwrap(),
    )
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_notices_an_engine_that_fails() {
    let db = Db::open("faulty:sqlite::memory:?seed=7&error_rate=0.2")
        .await
        .unwrap();
    contract::run(&db).await.unwrap_err();
    let db = Db::open("faulty:sqlite::memory:?seed=7&lost_ack_rate=0.5")
        .await
        .unwrap();
    contract::run(&db).await.unwrap_err();
}
