//! Running other programs, and saying so.

use std::ffi::OsStr;
use std::fmt;
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line cannot be used.
    Usage(String),
    /// A program is missing or could not be started.
    Start {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// A program ended with an error.
    Ended {
        /// The command line.
        line: String,
        /// Its exit status, as text.
        status: String,
    },
    /// A goal of this measurement is missed; every row was told.
    NotMet(String),
    /// Something else, told in full.
    Other(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Other(text) => f.write_str(text),
            Self::NotMet(what) => write!(f, "{what}: not every goal is met"),
            Self::Start { program, source } => write!(f, "cannot start {program}: {source}"),
            Self::Ended { line, status } => write!(f, "`{line}` ended with {status}"),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Other(error.to_string())
    }
}

/// The workspace's root folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// The folder that cargo builds into.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Tells the person what happens now.
pub(crate) fn say(text: &str) {
    if stderr().is_terminal() {
        eprintln!("\x1b[1;34m→\x1b[0m {text}");
    } else {
        eprintln!("→ {text}");
    }
}

/// A program that runs in the workspace's root.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// `cargo` with these words; the same cargo that runs us.
pub(crate) fn cargo(words: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = command(program);
    command.args(words);
    // Cargo tells us of our own package by these. Build scripts watch some of them, so what we build would be built again
    // each time that a person's own `cargo build` comes between.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let names: Vec<_> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    names.join(" ")
}

/// Runs it with our own input and output.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let line = line_of(command);
    let status = command.status().map_err(|source| Failure::Start {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Ended {
        line,
        status: status.to_string(),
    })
}

/// Runs it and returns what it printed.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let line = line_of(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Failure::Start {
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Failure::Ended {
        line,
        status: output.status.to_string(),
    })
}

/// Is this program on the path?
pub(crate) fn has_program(name: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(name).is_file())
}
