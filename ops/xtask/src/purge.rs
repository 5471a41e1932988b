//! `cargo xtask bench purge`: a purge to every node of a fleet on this machine, and the end of a session.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::report::{self, Row};
use crate::shell::{self, Failure, cargo, output, say, target_dir};

/// What p50 and p99 must not pass, ms.
const GOAL_MS: f64 = 150.0;
/// What the slowest must not pass, in units of the goal.
const MAX_GOAL: f64 = 10.0;
/// When the last node must refuse a session that was ended, ms.
const REVOKED_MS_MAX: f64 = 1_000.0;
/// How long a node that was away may take from its start, ms.
const BACK_MS_MAX: f64 = 10_000.0;
const PACKAGES: [&str; 3] = [
    "mcsp-origin-node",
    "mcsp-edge-node",
    "mcsp-loadtest-cluster",
];

/// What `mcsp-cluster bench-purge` prints.
#[derive(Debug, Deserialize)]
struct Figures {
    nodes: u32,
    purges: u32,
    published_ms: Spread,
    acknowledged_ms: Spread,
    unserved_ms: Spread,
    served_after_acknowledgement: u32,
    revoked: Revoked,
    came_back: CameBack,
}

/// Sessions that were ended.
#[derive(Debug, Deserialize)]
struct Revoked {
    revocations: u32,
    refused_ms: Spread,
    accepted_after_refusal: u32,
}

#[derive(Debug, Deserialize)]
struct Spread {
    p50: f64,
    p99: f64,
    max: f64,
    samples: u32,
}

/// The node that was away during a purge.
#[derive(Debug, Deserialize)]
struct CameBack {
    served_what_was_purged: bool,
    first_answer_ms: f64,
    acknowledged_ms: f64,
    is_complete: bool,
}

fn build(is_dev: bool) -> Result<PathBuf, Failure> {
    say("building mcsp-origin, mcsp-edge and mcsp-cluster");
    let mut command = cargo(&["build", "--bins"]);
    if !is_dev {
        command.arg("--release");
    }
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    shell::run(&mut command)?;
    Ok(target_dir().join(if is_dev { "debug" } else { "release" }))
}

fn figures(bin_dir: &Path, options: &[&str]) -> Result<Figures, Failure> {
    let text = output(
        Command::new(bin_dir.join("mcsp-cluster"))
            .args(["bench-purge", "--bin-dir"])
            .arg(bin_dir)
            .arg("--data-dir")
            .arg(target_dir().join("bench/purge"))
            .args(options),
    )?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::Other(format!("mcsp-cluster bench-purge: {error}: {text}")))
}

/// A figure beside its bound.
fn row(case: &str, metric: &str, ms: f64, goal: f64) -> Row {
    let bound = ("the bound of 150 ms", &[GOAL_MS][..]);
    Row::new(case, metric, "ms", &[ms], bound, goal)
}

/// A figure of sessions that were ended.
fn revoked(metric: &str, ms: f64) -> Row {
    let case = "session ended → refused by a node";
    let bound = ("the bound of 1 s", &[REVOKED_MS_MAX][..]);
    Row::new(case, metric, "ms", &[ms], bound, 1.0)
}

/// A figure of the node that was away, from its start.
fn came_back(what: &str, ms: f64) -> Row {
    let case = format!("node that was away: start → {what}");
    let bound = ("a bound of 10 s", &[BACK_MS_MAX][..]);
    Row::new(&case, "once", "ms", &[ms], bound, 1.0)
}

/// From the purge's call until every node has acknowledged it, and until none serves what was purged.
pub(crate) fn run(options: &[&str]) -> Result<(), Failure> {
    let mut passed_on = Vec::new();
    let mut is_dev = false;
    let mut words = options.iter();
    while let Some(word) = words.next() {
        match (*word, words.clone().next()) {
            ("--dev", _) => is_dev = true,
            ("--purges" | "--revocations" | "--nodes", Some(count))
                if count.parse::<u32>().is_ok() =>
            {
                passed_on.extend([*word, *count]);
                words.next();
            }
            (other, _) => {
                return Err(Failure::Usage(format!(
                    "bench purge takes --purges N, --revocations N, --nodes N and --dev, not {other:?}"
                )));
            }
        }
    }
    let bin_dir = build(is_dev)?;
    let load = report::load_average();
    let told = figures(&bin_dir, &passed_on)?;
    let cases = [
        ("purge call → answered", &told.published_ms),
        ("purge call → acknowledged by a node", &told.acknowledged_ms),
        ("purge call → no longer served by a node", &told.unserved_ms),
    ];
    let rows: Vec<Row> = cases
        .iter()
        .flat_map(|(case, spread)| {
            [
                row(case, "p50", spread.p50, 1.0),
                row(case, "p99", spread.p99, 1.0),
                row(case, "max", spread.max, MAX_GOAL),
            ]
        })
        .chain([
            revoked("p50", told.revoked.refused_ms.p50),
            revoked("p99", told.revoked.refused_ms.p99),
            revoked("max", told.revoked.refused_ms.max),
            came_back("first answer", told.came_back.first_answer_ms),
            came_back("acknowledged", told.came_back.acknowledged_ms),
        ])
        .collect();
    println!(
        "{} nodes, {} purges, {} sessions ended",
        told.nodes, told.purges, told.revoked.revocations
    );
    report::publish("purge", load, &rows)?;
    println!(
        "answers with what was purged, after the acknowledgement: {}; by the node that was away: {}",
        told.served_after_acknowledgement, told.came_back.served_what_was_purged
    );
    println!(
        "answers to an ended session after a node's first refusal: {}",
        told.revoked.accepted_after_refusal
    );
    let spreads = cases.iter().map(|(_, spread)| *spread);
    let has_all = spreads
        .chain([&told.revoked.refused_ms])
        .all(|spread| spread.samples > 0);
    let is_met = has_all
        && rows.iter().all(|row| row.met)
        && told.served_after_acknowledgement == 0
        && told.revoked.accepted_after_refusal == 0
        && !told.came_back.served_what_was_purged
        && told.came_back.is_complete;
    if is_met {
        return Ok(());
    }
    Err(Failure::Other(
        "bench purge: not every goal is met".to_owned(),
    ))
}
