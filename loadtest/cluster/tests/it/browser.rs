//! A viewer in a real browser.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::process::Command;

use crate::harness::{node_dir, told};

/// What the browser saw; see `ops/web/e2e/play.mjs`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Seen {
    pub(crate) errors: Vec<String>,
    pub(crate) media: Vec<MediaAnswer>,
    pub(crate) current_time_s: f64,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) notice: Option<String>,
    pub(crate) title: String,
    pub(crate) overflows: bool,
    pub(crate) timed_out: Option<String>,
}

/// One answer on the media path.
#[derive(Debug, Deserialize)]
pub(crate) struct MediaAnswer {
    pub(crate) host: String,
    pub(crate) name: String,
    pub(crate) status: u16,
    pub(crate) cache: Option<String>,
}

/// What the browser is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visit<'a> {
    pub(crate) url: &'a str,
    pub(crate) format: &'a str,
    pub(crate) until_s: f64,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) screenshot: Option<&'a Path>,
}

/// Watches as a guest, in headless Chromium.
pub(crate) async fn watch(visit: Visit<'_>) -> Seen {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops/web/e2e/play.mjs");
    let job = json!({
        "url": visit.url, "format": visit.format, "untilS": visit.until_s, "limitMs": 90_000,
        "width": visit.width, "height": visit.height, "screenshot": visit.screenshot,
    });
    let run = Command::new("node")
        .arg(script)
        .arg(job.to_string())
        .current_dir(node_dir())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(900), run)
        .await
        .expect("the browser ends in time")
        .expect("node starts");
    assert!(output.status.success(), "the browser: {}", told(&output));
    serde_json::from_slice(&output.stdout).expect("what the browser saw, as JSON")
}
