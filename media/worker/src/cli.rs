//! The command line.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mcsp_runtime::EXIT_CONFIG;

use crate::boot::{BootError, Prepared};
use crate::config::{DEFAULT_TOML, WorkerConfig};
use crate::{bench_ladder, run};

/// The media worker of a region: validates what was uploaded, transcodes, packages, publishes.
#[derive(Debug, Parser)]
#[command(name = "mcsp-media", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the worker until SIGTERM or SIGINT; jobs that do not end in time are taken up at the next start.
    Run {
        /// The configuration, TOML; `MCSP_MEDIA_…` in the environment overrides it (two underscores stand for a dot).
        #[arg(long)]
        config: PathBuf,
    },
    /// Read the configuration and every file it names, say what is wrong, and exit: 0 if nothing is, 64 otherwise.
    Check {
        /// The configuration, TOML.
        #[arg(long)]
        config: PathBuf,
    },
    /// Print a configuration with every key, its default and its range.
    DefaultConfig,
    /// Make a file's whole ladder as the worker would, and print what that cost as JSON.
    BenchLadder {
        /// The source.
        #[arg(long)]
        input: PathBuf,
        /// The folder for mezzanines, segments and manifests; created if there is none.
        #[arg(long)]
        out: PathBuf,
    },
}

/// Exit status: 0 for a clean stop, 64 for a configuration that cannot be used, 1 for everything else.
pub(crate) fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run { config } => conclude(prepare(&config).and_then(run::run)),
        Command::Check { config } => match prepare(&config) {
            Ok(prepared) => {
                let member = prepared.config.member();
                say(&format!(
                    "{} can be used: worker {member}\n",
                    config.display()
                ));
                ExitCode::SUCCESS
            }
            Err(error) => conclude(Err(error)),
        },
        Command::DefaultConfig => {
            say(DEFAULT_TOML);
            ExitCode::SUCCESS
        }
        Command::BenchLadder { input, out } => match bench_ladder::run(&input, &out) {
            Ok(figures) => {
                say(&format!("{figures}\n"));
                ExitCode::SUCCESS
            }
            Err(error) => {
                complain(&error.to_string());
                ExitCode::FAILURE
            }
        },
    }
}

fn prepare(path: &Path) -> Result<Prepared, BootError> {
    Prepared::new(WorkerConfig::load(path)?)
}

fn conclude(result: Result<(), BootError>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    complain(&error.to_string());
    if error.is_configuration() {
        ExitCode::from(EXIT_CONFIG)
    } else {
        ExitCode::FAILURE
    }
}

/// To a person, so as text; logging may not have begun.
fn complain(text: &str) {
    // A terminal that is gone has nobody to tell.
    let _ = writeln!(std::io::stderr(), "mcsp-media: {text}");
}

fn say(text: &str) {
    // A reader that left has nobody to tell.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
