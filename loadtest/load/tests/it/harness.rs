//! Starts platforms and the program.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use mcsp_loadtest_bench::{Options, Plant, Platform};
use mcsp_loadtest_report::Recorded;
use tempfile::TempDir;
use tokio::process::Command;

/// What a run of some seconds may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// A platform, and a folder for what is run upon it.
pub(crate) struct Stage {
    pub(crate) platform: Platform,
    folder: TempDir,
}

impl Stage {
    pub(crate) async fn with(plant: Plant) -> Self {
        let options = Options {
            plant,
            ..Options::default()
        };
        Self {
            platform: Platform::start(options).await.expect("a platform"),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).expect("written");
        path
    }

    pub(crate) fn target(&self) -> String {
        format!("http://{}/", self.platform.address())
    }

    /// A scenario upon this platform.
    pub(crate) fn scenario(&self, text: &str) -> PathBuf {
        let target = self.target();
        self.write(
            "scenario.toml",
            &format!("{text}\n[targets]\napi = \"{target}\"\n"),
        )
    }
}

/// Some seconds of many short sessions, so that a one in a hundred is seen; busy machines are late, which is not what is tested,
/// and no shift of latencies is found unless it is the test's own ([`shifts`]).
pub(crate) const SHORT: &str = r#"
name = "short"
protocol = "h1"
duration_s = 8
baseline_s = 3
arrivals = [{ kind = "constant", rate_per_s = 25 }]
accounts = { count = 12 }
content = { ids = ["item"] }
devices = [{ name = "small", max_height = 360 }, { name = "large", max_height = 720 }]
player = { abr = "highest", watch_min_s = 2, watch_max_s = 2, buffer_s = 6 }
tool = { lag_p99_max_ms = 10000 }
findings = { requests_min = 100, latency_shift_ms = 20000 }
slo = [{ name = "errors", metric = "error_ratio", at_most = 0.5 }]
"#;

/// The same, where a shift of latencies is to be found.
pub(crate) fn shifts() -> String {
    SHORT.replace("latency_shift_ms = 20000", "latency_shift_ms = 120")
}

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcsp-load"));
    command
        .env_remove("MCSP_LOAD_TOKEN")
        .env_remove("MCSP_LOAD_TARGET")
        .env_remove("CARGO_TARGET_DIR")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// What the program said, and its status.
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    fn of(output: &Output) -> Self {
        Self {
            status: output.status.code().expect("it ended by itself"),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

pub(crate) async fn finish(mut command: Command) -> Said {
    let output = tokio::time::timeout(PATIENCE, command.output());
    Said::of(&output.await.expect("in time").expect("it starts"))
}

pub(crate) async fn call(words: &[&str]) -> Said {
    let mut command = program();
    command.args(words);
    finish(command).await
}

/// What a run left in its folder.
pub(crate) fn recorded(folder: &Path) -> Recorded {
    let text = std::fs::read_to_string(folder.join("results.json")).expect("results");
    Recorded::from_json(&text).expect("results of this version")
}

/// The kinds of things that were found.
pub(crate) fn kinds(recorded: &Recorded) -> Vec<String> {
    let findings = recorded.results.seen.findings.iter();
    findings.map(|(kind, _)| kind.to_string()).collect()
}

/// Requests by class, the warm-up included.
pub(crate) fn requests(recorded: &Recorded) -> BTreeMap<String, u64> {
    let counts = recorded.results.seen.counts.iter();
    counts
        .map(|(class, counts)| (class.to_string(), counts.requests))
        .collect()
}
