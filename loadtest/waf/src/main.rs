//! Replays the OWASP Core Rule Set's regression tests against a running edge that only detects, in a route to a plain origin, and
//! reads what it found from its audit file.

#![allow(clippy::print_stdout, clippy::print_stderr)] // Talking to a person is what this program does.

mod asking;
mod backend;
mod node;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use mcsp_edge_waf::replay::{self, Case, Tally};
use mcsp_edge_waf::{RuleSet, load_rules};
use serde::Serialize;

use crate::asking::Asking;
use crate::node::Node;

type AnyError = Box<dyn std::error::Error>;

/// The exit status by which it says that tests failed.
const EXIT_NOT_MET: u8 = 2;
/// Of the tests that count at a level, one in so many may be refused on the wire; or as many as themselves name 400 or an error
/// as what should come, where those are more: they cannot be passed in another way.
const REFUSED_ONE_IN: usize = 50;
/// Tests that nobody can pass: the version in their file's name, the test, how it is not passed (in another way it counts as
/// failed), and why.
const IMPOSSIBLE: [(&str, &str, &str, &str); 3] = [
    (
        "4.25.1",
        "920430-5",
        "",
        "wants a match in bytes that are those of 920430-1, which wants none; in the rule set's own tests its request line has no \
         version, which is refused with 400, as that test may be",
    ),
    (
        "3.3.4",
        "920180-3",
        "the log does not match",
        "wants the rule for requests without Content-Length to match bytes that have one",
    ),
    (
        "3.3.4",
        "920240-2",
        "refused: the edge answers 400",
        "wants an origin to be reached with `Host: localhost%00`, which 920270-4 wants to be answered 400 or 403, also by who \
         only detects",
    ),
];

#[derive(Debug, Parser)]
struct Options {
    /// `mcsp-edge`.
    #[arg(long)]
    node_program: PathBuf,
    /// The folder of `*.conf` files.
    #[arg(long)]
    rules: PathBuf,
    /// The tests, one JSON object a line.
    #[arg(long)]
    tests: PathBuf,
    /// The paranoia level, 1 to 4; all of them if not given.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=4))]
    paranoia: Option<u8>,
    /// Where the node keeps its files; emptied.
    #[arg(long)]
    data_dir: PathBuf,
    /// Where the counts go, JSON.
    #[arg(long)]
    report: Option<PathBuf>,
}

/// Counts of one level.
#[derive(Debug, Serialize)]
struct Counts {
    passed: usize,
    total: usize,
    refused: Vec<(String, String)>,
    /// How many of the refused name that themselves.
    refused_as_named: usize,
    failed: Vec<(String, String)>,
    /// Those of them that nobody can pass.
    impossible: Vec<(String, String)>,
    /// By rule file: passed, total.
    files: BTreeMap<String, (usize, usize)>,
}

impl Counts {
    fn of(tallies: BTreeMap<String, Tally>, tests: &Path) -> Self {
        let mut counts = Self {
            passed: 0,
            total: 0,
            refused: Vec::new(),
            refused_as_named: 0,
            failed: Vec::new(),
            impossible: Vec::new(),
            files: BTreeMap::new(),
        };
        for (file, tally) in tallies {
            let total = tally.passed + tally.failed.len();
            counts.passed += tally.passed;
            counts.total += total;
            counts.refused.extend(tally.refused);
            counts.refused_as_named += tally.refused_as_named;
            counts.failed.extend(tally.failed);
            counts.files.insert(file, (tally.passed, total));
        }
        let file = tests.file_name().unwrap_or_default().to_string_lossy();
        let of_file = IMPOSSIBLE.into_iter();
        for (_, title, how, reason) in of_file.filter(|(version, ..)| file.contains(version)) {
            let is_it = |(failed, why): &(String, String)| failed == title && why.starts_with(how);
            if counts.failed.iter().any(is_it) {
                counts.failed.retain(|failed| !is_it(failed));
                counts
                    .impossible
                    .push((title.to_owned(), reason.to_owned()));
            }
        }
        counts
    }

    fn is_met(&self) -> bool {
        self.failed.is_empty() && self.refused.len() <= self.refused_max()
    }

    fn refused_max(&self) -> usize {
        (self.total / REFUSED_ONE_IN).max(self.refused_as_named)
    }

    fn print(&self, level: u8) {
        for (file, (passed, total)) in &self.files {
            println!("  {passed:>4} of {total:>4}  {file}");
        }
        for (title, reason) in &self.refused {
            println!("  refused on the wire: {title}: {reason}");
        }
        for (title, reason) in &self.failed {
            println!("  FAILED {title}: {reason}");
        }
        for (title, reason) in &self.impossible {
            println!("  not passed, nor by anybody: {title} {reason}");
        }
        println!(
            "paranoia {level}: {} of {} passed, {} of them refused on the wire ({} name that themselves; at most {})",
            self.passed,
            self.total,
            self.refused.len(),
            self.refused_as_named,
            self.refused_max()
        );
    }
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_NOT_MET),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<bool, AnyError> {
    let cases = replay::read_cases(&std::fs::read_to_string(&options.tests)?)?;
    let all = load_rules(&replay::rules(&options.rules, 4))?;
    let levels = options.paranoia.map_or(1..=4, |level| level..=level);
    let mut counts = BTreeMap::new();
    for level in levels {
        let of_level = replay_level(options, &all, &cases, level)?;
        if of_level.total == 0 {
            let tests = options.tests.display();
            return Err(format!("{tests}: no test of paranoia {level} or less is in it").into());
        }
        of_level.print(level);
        counts.insert(format!("paranoia {level}"), of_level);
    }
    if let Some(path) = &options.report {
        std::fs::write(path, serde_json::to_vec_pretty(&counts)?)?;
    }
    Ok(counts.values().all(Counts::is_met))
}

fn replay_level(
    options: &Options,
    all: &RuleSet,
    cases: &[Case],
    level: u8,
) -> Result<Counts, AnyError> {
    let origin = backend::start()?;
    let folder = options.data_dir.join(format!("paranoia-{level}"));
    let node = Node::start(
        &options.node_program,
        &folder,
        &options.rules,
        level,
        origin,
    )?;
    let mut asking = Asking::new(&node)?;
    let tallies = replay::replay_by(all, cases, level, |raw| asking.ask(raw));
    Ok(Counts::of(tallies, &options.tests))
}
