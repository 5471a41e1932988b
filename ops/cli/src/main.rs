//! `mcsp`: the platform from a person's command line.

#![allow(clippy::print_stdout, clippy::print_stderr)] // Talking to a person is what this program does.

mod api;
mod args;
mod error;
mod follow;
mod parts;
mod session;
mod show;
mod terminal;
mod upload;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};
use error::CliError;
use session::Session;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    mcsp_runtime::install_crypto_provider();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are printed too, and are no fault of anyone.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(error::EXIT_USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::complain(&error);
            ExitCode::from(error.exit_status())
        }
    }
}

async fn run(args: Args) -> Result<(), CliError> {
    let mut session = Session::open(&args.common)?;
    let json = args.common.json;
    match args.command {
        Command::Register(account) => {
            let password = terminal::password(account.password_stdin)?;
            let user = session.register(&account, &password).await?;
            show::user(&user, json)
        }
        Command::Login(login) => {
            let password = terminal::password(login.password_stdin)?;
            let user = session.login(&login.email, &password).await?;
            show::user(&user, json)
        }
        Command::Logout => session.logout().await,
        Command::Upload(options) => upload::run(&mut session, &options, json).await,
        Command::Status { content_id } => {
            let content = session.content(&content_id).await?;
            show::content(&content, json)
        }
        Command::Play { content_id } => {
            let answer = session.play(&content_id).await?;
            show::play(&answer, session.server(), json)
        }
    }
}
