//! One trigger, many watchers.

use std::time::Duration;

use mcsp_runtime::ShutdownTrigger;

const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn every_watcher_learns_of_it_early_and_late() {
    let (trigger, shutdown) = ShutdownTrigger::new();
    assert!(!shutdown.is_triggered());
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let shutdown = shutdown.clone();
            tokio::spawn(async move { shutdown.wait().await })
        })
        .collect();
    trigger.trigger();
    for task in waiting {
        tokio::time::timeout(SOON, task)
            .await
            .expect("told")
            .unwrap();
    }
    assert!(shutdown.is_triggered());
    tokio::time::timeout(SOON, shutdown.clone().wait())
        .await
        .expect("at once");
}

#[tokio::test]
async fn a_trigger_that_is_gone_is_a_stop() {
    let (trigger, shutdown) = ShutdownTrigger::new();
    drop(trigger);
    tokio::time::timeout(SOON, shutdown.wait())
        .await
        .expect("nobody could say it any more");
}
