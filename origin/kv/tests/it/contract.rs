//! The contract suite on each engine of this process; `remote` has those behind gRPC.

use mcsp_kv::contract;
use mcsp_runtime::ManualClock;

use crate::{open_sled, options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sled() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(1_000_000);
    let kv = open_sled(folder.path(), &clock).await;
    contract::run(&kv, &clock).await.unwrap();
    // Once more on what it left behind.
    contract::run(&kv, &clock).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faulty_without_faults() {
    let folder = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(1_000_000);
    let uri = format!(
        "faulty:sled:{}?seed=7&cache_mib=8&delay_ms_max=1",
        folder.path().display()
    );
    let kv = mcsp_kv::open(&uri, options(clock.clone())).await.unwrap();
    contract::run(&kv, &clock).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_notices_an_engine_that_fails() {
    for fault in ["error_rate=0.05", "lost_ack_rate=0.05"] {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(1_000_000);
        let uri = format!("faulty:sled:{}?seed=7&{fault}", folder.path().display());
        let kv = mcsp_kv::open(&uri, options(clock.clone())).await.unwrap();
        contract::run(&kv, &clock).await.unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_notices_an_engine_that_goes_by_another_clock() {
    let folder = tempfile::tempdir().unwrap();
    let kv = open_sled(folder.path(), &ManualClock::new(1_000_000)).await;
    contract::run(&kv, &ManualClock::new(1_000_000))
        .await
        .unwrap_err();
}
