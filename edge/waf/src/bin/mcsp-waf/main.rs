//! Tries the engine on rules and regression tests, and measures it.

#![allow(clippy::print_stdout, clippy::print_stderr)] // Talking to a person is what this program does.

mod bench;
mod workload;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mcsp_edge_waf::{load_rules, replay};

/// The node's, so that what is measured here is what a request costs there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The WAF engine on rules and tests.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Loads a folder of rules and says how many there are and what of them does nothing, or where the first mistake is.
    Check {
        /// The folder of `*.conf` files.
        rules: PathBuf,
    },
    /// Replays regression tests and prints counts by rule file and the tests that failed.
    Replay {
        /// The folder of `*.conf` files.
        #[arg(long)]
        rules: PathBuf,
        /// The tests, one JSON object a line.
        #[arg(long)]
        tests: PathBuf,
        /// The paranoia level, 1 to 4; all of them if not given.
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=4))]
        paranoia: Option<u8>,
    },
    /// Measures processor time a request at paranoia level 1, and memory of one rule set.
    Bench {
        /// The folder of `*.conf` files.
        #[arg(long)]
        rules: PathBuf,
        /// Requests of each kind.
        #[arg(long, default_value_t = 20_000)]
        requests: u32,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints the requests that `bench` measures, and what rules are told before, as JSON for peers.
    Workload,
}

fn main() -> ExitCode {
    let done = match Options::parse().command {
        Command::Check { rules } => load_rules(&replay::rules(&rules, 4))
            .map(|set| {
                set.notices().iter().for_each(|notice| println!("{notice}"));
                println!("{} rules", set.len());
            })
            .map_err(Into::into),
        Command::Replay {
            rules,
            tests,
            paranoia,
        } => run_replay(&rules, &tests, paranoia),
        Command::Bench {
            rules,
            requests,
            json,
        } => bench::run(&rules, requests).and_then(|figures| show(&figures, json)),
        Command::Workload => {
            let workload = workload::Workload {
                setup: bench::config(Path::new("")).settings(),
                client: workload::CLIENT,
                samples: workload::samples(),
            };
            serde_json::to_string_pretty(&workload)
                .map(|text| println!("{text}"))
                .map_err(Into::into)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

type AnyError = Box<dyn std::error::Error>;

fn show(figures: &bench::Figures, is_json: bool) -> Result<(), AnyError> {
    if is_json {
        println!("{}", serde_json::to_string(figures)?);
        return Ok(());
    }
    println!(
        "{} rules, {} KiB resident",
        figures.rules, figures.resident_kib
    );
    for (name, us) in &figures.cases {
        println!("{name}: {us:.2} us");
    }
    if let Some(us) = figures.media_p99_us {
        println!("media GET, one client in twenty new, p99 by the clock: {us:.2} us");
    }
    Ok(())
}

fn run_replay(rules: &Path, tests: &Path, paranoia: Option<u8>) -> Result<(), AnyError> {
    let cases = replay::read_cases(&std::fs::read_to_string(tests)?)?;
    let levels = paranoia.map_or(1..=4, |level| level..=level);
    let all = load_rules(&replay::rules(rules, 4))?;
    for level in levels {
        let set = load_rules(&replay::rules(rules, level))?;
        let tallies = replay::replay(&set, &all, &cases, level);
        let (mut passed, mut total) = (0, 0);
        for (file, tally) in &tallies {
            let all = tally.passed + tally.failed.len();
            println!(
                "{file}: {} of {all} passed, {} of them refused on the wire",
                tally.passed,
                tally.refused.len()
            );
            for (title, reason) in &tally.failed {
                println!("  {title}: {reason}");
            }
            passed += tally.passed;
            total += all;
        }
        println!("paranoia {level}: {passed} of {total} passed");
    }
    Ok(())
}
