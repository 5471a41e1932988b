//! The page's session in several tabs and through reloads, on a server that ends a session when a refresh token comes twice.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;

use crate::harness::{node_dir, told};

/// What came of it; see `ops/web/e2e/refresh.mjs`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    at_once: Vec<bool>,
    after_reload: bool,
    after_reloads: Vec<bool>,
    after_end: Vec<bool>,
    refreshes_after_end: u32,
    at_once_max: u32,
    thefts: u32,
}

#[tokio::test]
async fn tabs_and_reloads_do_not_end_an_honest_session() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops/web");
    let run = Command::new("node")
        .arg(page.join("e2e/refresh.mjs"))
        .arg(page.join("site"))
        .current_dir(node_dir())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(900), run)
        .await
        .expect("the browser ends in time")
        .expect("node starts");
    assert!(output.status.success(), "the browser: {}", told(&output));
    let seen: Seen = serde_json::from_slice(&output.stdout).expect("what came of it, as JSON");
    assert_eq!(seen.at_once.len(), 20);
    let signed_in = [
        seen.at_once.as_slice(),
        &[seen.after_reload],
        &seen.after_reloads,
    ]
    .concat();
    assert!(signed_in.iter().all(|still| *still), "{seen:?}");
    assert_eq!((seen.thefts, seen.at_once_max), (0, 1), "{seen:?}");
    assert!(seen.after_end.iter().all(|still| !still), "{seen:?}");
    assert_eq!(seen.refreshes_after_end, 0, "{seen:?}");
}
