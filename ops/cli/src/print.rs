//! What the person sees: results on standard output, everything else on standard error.

use std::io::{self, Write};

use console::style;
use serde::Serialize;

use crate::error::CliError;

/// How results are printed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    /// One JSON document instead of text for people.
    pub(crate) json: bool,
}

impl Printer {
    /// The result of a command, in the form that was asked for.
    pub(crate) fn result(
        &self,
        document: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), CliError> {
        let text = if self.json {
            serde_json::to_string(document).map_err(|error| CliError::Answer(error.to_string()))?
        } else {
            text()
        };
        // A reader that went away has seen enough.
        let _ = writeln!(io::stdout().lock(), "{}", text.trim_end());
        Ok(())
    }

    /// A note for people; programs do not get it.
    pub(crate) fn note(&self, text: &str) {
        if !self.json {
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    pub(crate) fn error(&self, error: &CliError) {
        let mut err = io::stderr().lock();
        let _ = if self.json {
            writeln!(err, "{}", error.to_json())
        } else {
            writeln!(err, "{} {error}", style("error:").for_stderr().red().bold())
        };
    }
}

/// Lines of a name and a value, the values under each other. Empty values are left out.
pub(crate) fn table(rows: &[(&str, String)]) -> String {
    let width = rows
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or_default();
    rows.iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{}  {value}\n", style(format!("{name:width$}")).bold()))
        .collect()
}

/// A size for people, in powers of 1024.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}
