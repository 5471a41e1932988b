//! The command line.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mcsp_runtime::EXIT_CONFIG;

use crate::boot::{BootError, Prepared};
use crate::config::{DEFAULT_TOML, NodeConfig};
use crate::{descriptors, run};

/// The edge node of a point of presence: TLS, tokens, residency, cache, routing to origins.
#[derive(Debug, Parser)]
#[command(name = "mcsp-edge", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the node until SIGTERM or SIGINT, then drain.
    Run {
        /// The configuration, TOML; `MCSP_EDGE_…` in the environment overrides it (two underscores stand for a dot).
        #[arg(long, env = "MCSP_EDGE_CONFIG_FILE")]
        config: PathBuf,
    },
    /// Read the configuration and every file it names, say what is wrong, and exit: 0 if nothing is, 64 otherwise.
    Check {
        /// The configuration, TOML.
        #[arg(long, env = "MCSP_EDGE_CONFIG_FILE")]
        config: PathBuf,
    },
    /// Print a configuration with every key, its default and its range.
    DefaultConfig,
}

/// Exit status: 0 for a clean stop, 64 for a configuration that cannot be used, 1 for everything else.
pub(crate) fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run { config } => conclude(load(&config).and_then(|read| {
            // Before there are other threads.
            descriptors::make_room(read.connections.max);
            run::run(read, &config)
        })),
        Command::Check { config } => match load(&config).and_then(check) {
            Ok(prepared) => {
                say(&format!(
                    "{} can be used: node {} of {}\n",
                    config.display(),
                    prepared.config.node,
                    prepared.config.pop
                ));
                ExitCode::SUCCESS
            }
            Err(error) => conclude(Err(error)),
        },
        Command::DefaultConfig => {
            say(DEFAULT_TOML);
            ExitCode::SUCCESS
        }
    }
}

fn check(config: NodeConfig) -> Result<Prepared, BootError> {
    let prepared = Prepared::new(config, None)?;
    if let Some(firewall) = &prepared.firewall {
        firewall.load()?;
    }
    Ok(prepared)
}

fn load(path: &Path) -> Result<NodeConfig, BootError> {
    Ok(NodeConfig::load(path)?)
}

fn conclude(result: Result<(), BootError>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    // To a person, so as text; logging may not have begun. A terminal that is gone has nobody to tell.
    let _ = writeln!(std::io::stderr(), "mcsp-edge: {error}");
    if error.is_configuration() {
        ExitCode::from(EXIT_CONFIG)
    } else {
        ExitCode::FAILURE
    }
}

fn say(text: &str) {
    // A reader that left has nobody to tell.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
