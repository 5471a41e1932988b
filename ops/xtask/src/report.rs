//! `target/bench/NAME.json`: rows, and when, where and at which commit they were measured.

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
    /// What the ratio must not pass.
    pub(crate) goal: f64,
    /// Does it hold?
    pub(crate) met: bool,
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
        }
    }
}

/// The middle of the samples; 0 of none.
fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    measured_unix_s: u64,
    cores: usize,
    load_average_at_start: String,
    commit: String,
    rows: &'a [Row],
}

/// The machine's load average over a minute, as the kernel tells it.
pub(crate) fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split(' ').next().map(str::to_owned))
        .unwrap_or_default()
}

/// Prints the rows as a table and writes them to `target/bench/NAME.json`.
pub(crate) fn publish(
    name: &str,
    load_average_at_start: String,
    rows: &[Row],
) -> Result<(), Failure> {
    println!(
        "{:<34} {:<14} {:>9} {:>9} {:>6} {:>6}  met",
        "case", "metric", "ours", "peer", "ratio", "goal"
    );
    for row in rows {
        println!(
            "{:<34} {:<14} {:>9.2} {:>9.2} {:>6.2} {:>6.2}  {}",
            row.case,
            format!("{} {}", row.metric, row.unit),
            row.ours,
            row.peer,
            row.ratio,
            row.goal,
            if row.met { "yes" } else { "NO" },
        );
    }
    for row in rows {
        println!("peer of {}: {}", row.case, row.peer_name);
    }
    let commit =
        output(command("git").args(["rev-parse", "--short=12", "HEAD"])).unwrap_or_default();
    let document = Document {
        measured_unix_s: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs()),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        load_average_at_start,
        commit: commit.trim().to_owned(),
        rows,
    };
    let folder = target_dir().join("bench");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{name}.json"));
    let json =
        serde_json::to_vec_pretty(&document).map_err(|error| Failure::Other(error.to_string()))?;
    std::fs::write(&path, json)?;
    println!("written to {}", path.display());
    Ok(())
}
