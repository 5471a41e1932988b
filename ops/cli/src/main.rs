//! The command line of a person: login, upload, play, status.

mod account;
mod api;
mod args;
mod context;
mod error;
mod follow;
mod play;
mod print;
mod retry;
mod settings;
mod status;
mod tokens;
mod upload;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::context::Context;
use crate::error::CliError;
use crate::print::Printer;

/// The command line is wrong (`EX_USAGE` of sysexits).
const EXIT_USAGE: u8 = 64;

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
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(_) => return ExitCode::FAILURE,
    };
    match runtime.block_on(run(&cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            Printer { json: cli.json }.error(&error);
            error.exit_status().into()
        }
    }
}

async fn run(cli: &Cli) -> Result<(), CliError> {
    let context = Context::new(cli)?;
    tokio::select! {
        done = command(&context, &cli.command) => done,
        _ = tokio::signal::ctrl_c() => Err(CliError::Interrupted),
    }
}

async fn command(context: &Context, command: &Command) -> Result<(), CliError> {
    match command {
        Command::Login(args) => account::login(context, args).await,
        Command::Register(args) => account::register(context, args).await,
        Command::Logout => account::logout(context).await,
        Command::Upload(args) => upload::run(context, args).await,
        Command::Play(args) => play::run(context, args).await,
        Command::Status(args) => status::run(context, args).await,
    }
}
