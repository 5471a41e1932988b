//! `mcsp-loadbench`: what mcsp-load measures, beside what is known and beside its peers. `cargo xtask bench loadtest` runs it.

#![allow(clippy::print_stdout, clippy::print_stderr)] // Talking to a person is what this program does.

mod bench;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::bench::{Bench, BenchError, Part};

/// The exit status for a goal that is not met.
const EXIT_NOT_MET: u8 = 2;

/// What mcsp-load measures, beside what is known, beside wrk and beside k6; exit status 2 when a goal is not met
#[derive(Debug, Parser)]
#[command(name = "mcsp-loadbench", version)]
struct Args {
    /// The program that is measured
    #[arg(long)]
    load: PathBuf,
    /// wrk; without it, its rows are not run
    #[arg(long)]
    wrk: Option<PathBuf>,
    /// k6; without it, its rows are not run
    #[arg(long)]
    k6: Option<PathBuf>,
    /// Where scenarios and results are kept
    #[arg(long)]
    data_dir: PathBuf,
    /// Where the rows go, as JSON
    #[arg(long)]
    rows: PathBuf,
    /// Interleaved passes of ours and a peer's
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=50))]
    passes: u32,
    /// Only these parts
    #[arg(long, value_enum)]
    only: Vec<Part>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let bench = Bench {
        load: args.load,
        wrk: args.wrk,
        k6: args.k6,
        data_dir: args.data_dir,
        passes: args.passes,
    };
    match run(&bench, &args.only, &args.rows) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_NOT_MET),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(bench: &Bench, only: &[Part], rows: &std::path::Path) -> Result<bool, BenchError> {
    let measured = bench.run(only)?;
    let json = serde_json::to_vec_pretty(&measured)
        .map_err(|error| BenchError::Broken(error.to_string()))?;
    std::fs::write(rows, json).map_err(|source| BenchError::File {
        path: rows.to_owned(),
        source,
    })?;
    Ok(measured.iter().all(|row| row.met))
}
