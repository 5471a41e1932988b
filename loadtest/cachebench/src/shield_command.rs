//! `shield`: what the shield adds, and what it is worth.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use mcsp_loadtest_cachebench::BenchError;
use mcsp_loadtest_cachebench::report::Row;
use mcsp_loadtest_cachebench::shield::attack::{self, Kind, Orders, Target};
use mcsp_loadtest_cachebench::shield::{self, Options, sink};

use crate::Outcome;
use crate::measure::{Places, conclude, make, say};

/// What `shield` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    places: Places,
    /// The firewall's rules: a folder of the Core Rule Set
    #[arg(long)]
    rules: PathBuf,
    /// Interleaved passes; medians are reported
    #[arg(long, default_value_t = 5)]
    passes: usize,
    /// How long each attack lasts, and the quiet before it, ms; how strong each is, is told with its figures
    #[arg(long, default_value_t = 3000)]
    window_ms: u64,
    /// Two passes
    #[arg(long)]
    quick: bool,
    /// Only these: added, slow-loris, rapid-reset, connection-flood, hostile-bodies (for information, as the last:
    /// only that no viewer is refused is required), together (a third of each of the first three), together-full (all of those)
    #[arg(long)]
    only: Vec<String>,
}

/// What `attack` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct AttackArgs {
    #[arg(long, value_parser = Kind::from_name)]
    kind: Kind,
    #[arg(long)]
    plain: SocketAddr,
    #[arg(long)]
    tls: SocketAddr,
    #[arg(long)]
    certificate: PathBuf,
    #[arg(long)]
    path: String,
    #[arg(long)]
    network: u8,
    #[arg(long)]
    for_ms: u64,
}

/// What is measured of the cost, beside the attacks.
const ADDED: &str = "added";

/// What the sink is told.
#[derive(Debug, clap::Args)]
pub(crate) struct SinkArgs {
    #[arg(long)]
    certificate: PathBuf,
}

/// Measures, and says whether every goal is met, if that can be said.
pub(crate) async fn run(args: &Args) -> Result<Outcome, BenchError> {
    make(&args.places.data_dir)?;
    let is_asked = |name: &str| args.only.is_empty() || args.only.iter().any(|only| only == name);
    for only in &args.only {
        if only != ADDED {
            Kind::from_name(only).map_err(|reason| {
                BenchError::Answer(format!("--only {only}: {ADDED}, or an attack; {reason}"))
            })?;
        }
    }
    let options = Options {
        node_program: &args.places.node_program,
        data_dir: &args.places.data_dir,
        rules: &args.rules,
        passes: if args.quick { 2 } else { args.passes },
        window: Duration::from_millis(args.window_ms),
        measures_added: is_asked(ADDED),
        attacks: Kind::ALL
            .into_iter()
            .filter(|kind| is_asked(kind.name()))
            .collect(),
    };
    let found = shield::run(&options, &say).await?;
    println!("{}", table(&found.rows));
    let is_met = conclude(&args.places, &found.rows)?;
    Ok(match found.unjudged {
        Some(reason) => {
            println!("not judged: {reason}");
            Outcome::NotJudged
        }
        None => Outcome::of(is_met),
    })
}

/// Takes what attackers send, as somebody else than the node.
pub(crate) async fn sink(args: SinkArgs) -> Result<bool, BenchError> {
    let announce = |target: &Target| {
        // Two addresses can be written.
        println!("{}", serde_json::to_string(target).unwrap_or_default());
    };
    sink::run(&args.certificate, announce).await?;
    Ok(true)
}

/// Attacks, and tells what it did.
pub(crate) async fn attack(args: AttackArgs) -> Result<bool, BenchError> {
    let counts = attack::run(Orders {
        kind: args.kind,
        target: Target {
            plain: args.plain,
            tls: args.tls,
        },
        certificate: args.certificate,
        path: args.path,
        network: args.network,
        duration: Duration::from_millis(args.for_ms),
    });
    let told = serde_json::to_string(&counts.await?);
    println!(
        "{}",
        told.map_err(|error| BenchError::Answer(error.to_string()))?
    );
    Ok(true)
}

/// How wide tables are.
const COLUMNS: usize = 80;

/// Each figure beside what it is measured by, in eighty columns.
fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    let mut case = "";
    for row in rows {
        if row.case != case {
            case = &row.case;
            text.push_str(&wrapped(case));
        }
        let verdict = match (row.required, row.acceptable) {
            (None, _) => "(no goal)",
            (Some(_), true) => "goal met",
            (Some(_), false) => "GOAL MISSED",
        };
        text.push_str(&format!(
            "  {:<34} {:>8.1} of {:>7.1} {:<8} {verdict}\n",
            row.metric,
            row.ours,
            row.peer * row.goal,
            row.unit
        ));
    }
    text
}

/// In lines, of which all but the first are indented.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut width = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if width > 0 && width + 1 + length > COLUMNS {
            lines.push_str("\n   ");
            width = 3;
        }
        if width > 0 {
            lines.push(' ');
            width += 1;
        }
        lines.push_str(word);
        width += length;
    }
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use mcsp_loadtest_cachebench::report::Better;

    use super::*;

    #[test]
    fn the_table_says_what_is_missed() {
        let row = |ours: f64| {
            let peer = [("quiet".to_owned(), 100.0)];
            Row::best_of("viewers", "p99", "µs", ours, &peer, (Better::Less, 2.0)).unwrap()
        };
        let told = table(&[row(150.0), row(250.0), row(250.0).required(None)]);
        assert_eq!(told.matches("viewers").count(), 1);
        assert_eq!(told.matches("goal met").count(), 1);
        assert_eq!(told.matches("GOAL MISSED").count(), 1);
        assert!(told.contains("150.0 of   200.0"), "{told}");
    }

    #[test]
    fn no_line_is_too_long() {
        let text = format!("viewers {}", "0123456789 ".repeat(12).trim_end());
        let told = wrapped(&text);
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines.len() == 2 && lines.iter().all(|line| line.len() <= COLUMNS));
        assert!(lines[1].starts_with("    0"), "{told}");
        assert_eq!(told.split_whitespace().collect::<Vec<_>>().join(" "), text);
        assert_eq!(wrapped("short"), "short\n");
    }
}
