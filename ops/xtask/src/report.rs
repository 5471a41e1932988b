//! `target/bench/NAME.json`: rows, and when, where and at which commit they were measured.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::shell::{Failure, command, output, target_dir};

/// One figure beside its peer's. A row that was not run is absent, never invented.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    /// What was done.
    pub(crate) case: String,
    /// What was measured.
    pub(crate) metric: String,
    /// In what.
    pub(crate) unit: String,
    /// Our figure, a median.
    pub(crate) ours: f64,
    /// The peer's figure, a median of the same run.
    pub(crate) peer: f64,
    /// Who the peer is and how it was set up.
    pub(crate) peer_name: String,
    /// ours / peer.
    pub(crate) ratio: f64,
    /// What the ratio must not pass; where more is better, what it must reach.
    pub(crate) goal: f64,
    /// Does it hold?
    pub(crate) met: bool,
    /// What the ratio has to be all the same, where the goal is more than that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) required: Option<f64>,
    /// Does that hold?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) acceptable: Option<bool>,
    /// Every peer's figure, where there are several and `peer` is the best of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) peers: BTreeMap<String, f64>,
    /// Peers that failed, all the time or now and then, and how.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) failed: BTreeMap<String, String>,
}

impl Row {
    /// A row from the medians of interleaved samples.
    pub(crate) fn new(
        case: &str,
        metric: &str,
        unit: &str,
        ours: &[f64],
        peer: (&str, &[f64]),
        goal: f64,
    ) -> Self {
        let (ours, theirs) = (median(ours), median(peer.1));
        let ratio = ours / theirs;
        Self {
            case: case.to_owned(),
            metric: metric.to_owned(),
            unit: unit.to_owned(),
            ours,
            peer: theirs,
            peer_name: peer.0.to_owned(),
            ratio,
            goal,
            met: ratio <= goal,
            required: None,
            acceptable: None,
            peers: BTreeMap::new(),
            failed: BTreeMap::new(),
        }
    }
}

/// The middle of the samples; 0 of none.
pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// When, where and at which commit.
#[derive(Debug, Serialize)]
struct Circumstances {
    measured_unix_s: u64,
    cores: usize,
    load_average_at_start: String,
    commit: String,
}

impl Circumstances {
    fn now(load_average_at_start: String) -> Self {
        let commit =
            output(command("git").args(["rev-parse", "--short=12", "HEAD"])).unwrap_or_default();
        Self {
            measured_unix_s: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| d.as_secs()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            load_average_at_start,
            commit: commit.trim().to_owned(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Document<T> {
    #[serde(flatten)]
    circumstances: Circumstances,
    #[serde(flatten)]
    content: T,
}

#[derive(Debug, Serialize)]
struct Rows<'a> {
    rows: &'a [Row],
}

/// Writes `target/{kind}/{name}.json`.
fn write(
    kind: &str,
    name: &str,
    load_average_at_start: String,
    content: impl Serialize,
) -> Result<(), Failure> {
    let document = Document {
        circumstances: Circumstances::now(load_average_at_start),
        content,
    };
    let folder = target_dir().join(kind);
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{name}.json"));
    let json =
        serde_json::to_vec_pretty(&document).map_err(|error| Failure::Other(error.to_string()))?;
    std::fs::write(&path, json)?;
    println!("written to {}", path.display());
    Ok(())
}

/// Writes counts, as a suite's program wrote them, to `target/conformance/NAME.json`.
pub(crate) fn write_conformance(
    name: &str,
    load_average_at_start: String,
    counts: &str,
) -> Result<(), Failure> {
    let counts: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(counts).map_err(|error| Failure::Other(error.to_string()))?;
    write("conformance", name, load_average_at_start, counts)
}

/// The machine's load average over a minute, as the kernel tells it.
pub(crate) fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split(' ').next().map(str::to_owned))
        .unwrap_or_default()
}

/// Writes rows that a program has told of already to `target/bench/NAME.json`.
pub(crate) fn keep(name: &str, load_average_at_start: String, rows: &[Row]) -> Result<(), Failure> {
    write("bench", name, load_average_at_start, Rows { rows })
}

/// Prints the rows as a table and writes them to `target/bench/NAME.json`.
pub(crate) fn publish(
    name: &str,
    load_average_at_start: String,
    rows: &[Row],
) -> Result<(), Failure> {
    println!(
        "{:<52} {:<18} {:>9} {:>9} {:>6} {:>6}  met",
        "case", "metric", "ours", "peer", "ratio", "goal"
    );
    for row in rows {
        println!(
            "{:<52} {:<18} {:>9.2} {:>9.2} {:>6.2} {:>6.2}  {}",
            row.case,
            format!("{} {}", row.metric, row.unit),
            row.ours,
            row.peer,
            row.ratio,
            row.goal,
            if row.met { "yes" } else { "NO" },
        );
    }
    let mut told = Vec::new();
    for row in rows {
        // With several peers, who was best differs from row to row.
        let line = if row.peers.is_empty() {
            format!("peer of {}: {}", row.case, row.peer_name)
        } else {
            let all = row
                .peers
                .iter()
                .map(|(name, figure)| format!("{name} {figure:.2}"));
            let all: Vec<String> = all.collect();
            format!(
                "{}, {} {}: {}",
                row.case,
                row.metric,
                row.unit,
                all.join(", ")
            )
        };
        if !told.contains(&line) {
            println!("{line}");
            told.push(line);
        }
    }
    write("bench", name, load_average_at_start, Rows { rows })
}
