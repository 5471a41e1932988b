//! Asking and telling a person.

use std::io::{IsTerminal as _, Write as _, stderr, stdin};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::error::CliError;

/// The longest line that is read as a password, bytes.
const PASSWORD_BYTES_MAX: usize = 1024;

/// Prints an error, red on a terminal.
pub(crate) fn complain(error: &CliError) {
    if stderr().is_terminal() {
        eprintln!("\x1b[1;31merror:\x1b[0m {error}");
    } else {
        eprintln!("error: {error}");
    }
}

/// A password from standard input, not shown when a person types it.
pub(crate) fn password(from_stdin: bool) -> Result<String, CliError> {
    let input = stdin();
    if !from_stdin && !input.is_terminal() {
        return Err(CliError::Usage(
            "standard input is no terminal: give the password with --password-stdin".to_owned(),
        ));
    }
    let hidden = if input.is_terminal() {
        tcgetattr(&input).ok()
    } else {
        None
    };
    if let Some(shown) = &hidden {
        eprint!("Password: ");
        // A prompt that cannot be flushed is no reason to stop.
        let _ = stderr().flush();
        let mut modes = shown.clone();
        modes.local_modes.remove(LocalModes::ECHO);
        let _ = tcsetattr(&input, OptionalActions::Now, &modes);
    }
    let mut line = String::new();
    let read = input.read_line(&mut line);
    if let Some(shown) = &hidden {
        let _ = tcsetattr(&input, OptionalActions::Now, shown);
        eprintln!();
    }
    read.map_err(|error| CliError::Usage(format!("the password cannot be read: {error}")))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        return Err(CliError::Usage(
            "a password of 8 to 128 characters is wanted".to_owned(),
        ));
    }
    Ok(password.to_owned())
}
