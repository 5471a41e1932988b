//! `login`, `register`, `logout`.

use std::io::{self, BufRead, IsTerminal};

use console::Term;
use mcsp_api::Role;
use mcsp_api::rest::{LoginRequest, RegisterRequest, TokenResponse};
use serde_json::json;

use crate::api::Call;
use crate::args::{AccountRole, Login, Register};
use crate::context::Context;
use crate::error::CliError;

pub(crate) async fn login(context: &Context, args: &Login) -> Result<(), CliError> {
    let email = match &args.email {
        Some(email) => email.clone(),
        None => ask("E-mail: ")?,
    };
    let password = password(args.password_stdin, false)?;
    let call = Call::post("/api/v1/auth/login").body(&LoginRequest { email, password })?;
    let answer = context.api()?.sign_in(&call).await?;
    signed_in(context, &answer)
}

pub(crate) async fn register(context: &Context, args: &Register) -> Result<(), CliError> {
    let before_at = args.email.split('@').next().unwrap_or_default();
    let request = RegisterRequest {
        email: args.email.clone(),
        password: password(args.password_stdin, true)?,
        display_name: args.name.clone().unwrap_or_else(|| before_at.to_owned()),
        role: match args.role {
            AccountRole::Viewer => Role::Viewer,
            AccountRole::Creator => Role::Creator,
        },
    };
    let key = context.random_key();
    let call = Call::post("/api/v1/auth/register")
        .body(&request)?
        .idempotency_key(&key);
    let answer = context.api()?.sign_in(&call).await?;
    signed_in(context, &answer)
}

pub(crate) async fn logout(context: &Context) -> Result<(), CliError> {
    let api = context.api()?;
    let ended = api.call_empty(&Call::post("/api/v1/auth/logout")).await;
    // Here the session ends whatever the server says.
    api.tokens().remove()?;
    match ended {
        Ok(()) | Err(CliError::NotSignedIn(_)) => context
            .print
            .result(&json!({ "signed_in": false }), || "signed out".to_owned()),
        Err(error) => {
            context
                .print
                .note("signed out on this machine; the server did not hear of it:");
            Err(error)
        }
    }
}

fn signed_in(context: &Context, answer: &TokenResponse) -> Result<(), CliError> {
    context.remember()?;
    context.print.result(&answer.user, || {
        let (name, role) = (&answer.user.display_name, answer.user.role.as_str());
        format!("signed in as {name} <{}>, {role}", answer.user.email)
    })
}

fn ask(question: &str) -> Result<String, CliError> {
    let terminal = terminal("the account's address")?;
    let answer = terminal
        .write_str(question)
        .and_then(|()| terminal.read_line());
    answer.map_err(|_| CliError::Interrupted)
}

/// From standard input if that was asked for, else from the terminal without showing it; twice for a new one.
fn password(from_stdin: bool, is_new: bool) -> Result<String, CliError> {
    if from_stdin {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        read.map_err(|error| CliError::Usage(format!("standard input: {error}")))?;
        let password = line.trim_end_matches(['\n', '\r']);
        if password.is_empty() {
            return Err(CliError::Usage(
                "standard input holds no password".to_owned(),
            ));
        }
        return Ok(password.to_owned());
    }
    let terminal = terminal("the password")?;
    let read = |question: &str| {
        let answer = terminal
            .write_str(question)
            .and_then(|()| terminal.read_secure_line());
        answer.map_err(|_| CliError::Interrupted)
    };
    let password = read("Password: ")?;
    if is_new && read("The same again: ")? != password {
        return Err(CliError::Usage("the two passwords differ".to_owned()));
    }
    Ok(password)
}

fn terminal(what: &str) -> Result<Term, CliError> {
    let terminal = Term::stderr();
    if io::stdin().is_terminal() && terminal.is_term() {
        Ok(terminal)
    } else {
        Err(CliError::Usage(format!(
            "there is no terminal to ask for {what}; give it on the command line, or the password with --password-stdin"
        )))
    }
}
