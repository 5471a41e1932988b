//! `mcsp-cachebench`: the cache's conformance and its measurements beside its peers. `cargo xtask` runs it.

#![allow(clippy::print_stdout, clippy::print_stderr)] // Talking to a person is what this program does.

mod conformance;
mod measure;
mod shield_command;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mcsp_loadtest_cachebench::BenchError;
use tokio::signal::unix::{SignalKind, signal};

/// The edge cache beside its peers, what the RFCs ask, what a hit costs, how often there is one, and the shield before it.
#[derive(Debug, Parser)]
#[command(name = "mcsp-cachebench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Our own rows, each naming its RFC section, and http-tests/cache-tests; exit status 2 when a goal is not met
    Conformance(conformance::Args),
    /// What a hit costs beside nginx, Varnish and Traffic Server; exit status 2 when a goal is not met
    EdgeCache(measure::EdgeCache),
    /// How often there is a hit beside them; exit status 2 when a goal is not met
    HitRatio(measure::HitRatio),
    /// What the shield adds to a cached segment, and how viewers fare while the node is attacked; exit status 2 when a goal is
    /// not met, 3 when the machine is too unquiet to tell
    Shield(shield_command::Args),
    /// One attack, by a process of its own; `shield` starts it
    #[command(hide = true)]
    Attack(shield_command::AttackArgs),
    /// Somebody else to attack; `shield` starts it
    #[command(hide = true)]
    Sink(shield_command::SinkArgs),
}

/// The exit status for a goal that is not met.
const EXIT_NOT_MET: u8 = 2;
/// The exit status for figures that say nothing.
const EXIT_NOT_JUDGED: u8 = 3;

/// What a measurement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Met,
    NotMet,
    NotJudged,
}

impl Outcome {
    const fn of(is_met: bool) -> Self {
        if is_met { Self::Met } else { Self::NotMet }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    // Two providers are linked, and rustls refuses to guess.
    mcsp_runtime::install_crypto_provider();
    let command = Cli::parse().command;
    // Dropped, so that the servers that it has started end with it, their workers too.
    let result = tokio::select! {
        result = run(command) => result,
        status = told_to_end() => {
            eprintln!("error: told to end before it was done");
            return ExitCode::from(status);
        }
    };
    match result {
        Ok(Outcome::Met) => ExitCode::SUCCESS,
        Ok(Outcome::NotMet) => ExitCode::from(EXIT_NOT_MET),
        Ok(Outcome::NotJudged) => ExitCode::from(EXIT_NOT_JUDGED),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<Outcome, BenchError> {
    match command {
        Command::Conformance(args) => conformance::run(&args).await.map(Outcome::of),
        Command::EdgeCache(args) => measure::edge_cache(&args).await.map(Outcome::of),
        Command::HitRatio(args) => measure::hit_ratio(&args).await.map(Outcome::of),
        Command::Shield(args) => shield_command::run(&args).await,
        Command::Attack(args) => shield_command::attack(args).await.map(Outcome::of),
        Command::Sink(args) => shield_command::sink(args).await.map(Outcome::of),
    }
}

/// Returns when a person or a supervisor ends the program, with the exit status for it.
async fn told_to_end() -> u8 {
    const OF_SIGNALS: u8 = 128;
    let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
    let (Ok(mut interrupts), Ok(mut terminations)) = (signal(interrupt), signal(terminate)) else {
        // Then they end it in their own way.
        return std::future::pending().await;
    };
    let number = tokio::select! {
        _ = interrupts.recv() => interrupt.as_raw_value(),
        _ = terminations.recv() => terminate.as_raw_value(),
    };
    OF_SIGNALS.saturating_add(u8::try_from(number).unwrap_or_default())
}
