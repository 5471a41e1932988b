//! `mcsp-load`: simulated players, creators and API users, and a verdict.

#![allow(clippy::print_stdout, clippy::print_stderr)] // Talking to a person is what this program does.

mod args;
mod commands;
mod distributed;
mod engine;
mod error;
mod gather;
mod machine;
mod outcome;
mod overrides;
mod preflight;
mod prepare;
mod run;
mod scrape;
mod show;
mod told;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::error::{EXIT_USAGE, LoadError};

fn main() -> ExitCode {
    mcsp_runtime::install_crypto_provider();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` come this way too, and are no faults.
            let _ = error.print();
            return if error.use_stderr() {
                EXIT_USAGE.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match command(cli.command) {
        Ok(status) => status.into(),
        Err(error) => {
            eprintln!("error: {error}");
            error.exit_status().into()
        }
    }
}

/// The exit status.
fn command(command: Command) -> Result<u8, LoadError> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Worker(args) => distributed::work(&args),
        Command::Check(args) => commands::check(&args),
        Command::Compare(args) => commands::compare(&args),
        Command::Report(args) => commands::report(&args),
        Command::Plan(args) => commands::plan(&args),
        Command::Scenarios(args) => commands::scenarios(&args),
    }
}
