//! From TOML to a checked scenario, and what is wrong on the way, with line and column.

use std::fmt;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::check;
use crate::scenario::Scenario;

/// The largest scenario, bytes.
pub(crate) const SCENARIO_BYTES_MAX: u64 = 1 << 20;
/// Faults that one error names.
pub(crate) const FAULTS_MAX: usize = 20;

/// One thing that is wrong with a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// From 1; 0: it is of no text.
    pub line: usize,
    /// From 1, in characters; 0 likewise.
    pub column: usize,
    /// What is wrong: `arrivals[1].rate_per_s = -1: expected 0 to 100000`.
    pub message: String,
}

/// Why a scenario cannot be used. No retry helps.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// It is not TOML, has unknown keys, or values out of range.
    #[error("{}", Listed(.name, .faults))]
    Invalid {
        /// The file.
        name: String,
        /// At least one, at most 20.
        faults: Vec<Fault>,
    },
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is too large.
    #[error("{}: larger than {bytes_max} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The largest size, bytes.
        bytes_max: u64,
    },
    /// A file is not a bandwidth trace.
    #[error("{}:{line}: expected {expected}", path.display())]
    Trace {
        /// The file.
        path: PathBuf,
        /// From 1; 0: the file as a whole.
        line: usize,
        /// What was expected.
        expected: &'static str,
    },
    /// It cannot be written as TOML.
    #[error("cannot be written as TOML: {0}")]
    Write(String),
}

/// A line for each fault, as compilers write them.
struct Listed<'a>(&'a str, &'a [Fault]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.1.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            if fault.line == 0 {
                write!(f, "{end}{}: {}", self.0, fault.message)?;
                continue;
            }
            write!(
                f,
                "{end}{}:{}:{}: {}",
                self.0, fault.line, fault.column, fault.message
            )?;
        }
        Ok(())
    }
}

/// Reads a whole text file of bounded size.
pub(crate) fn read_bounded(path: &Path, bytes_max: u64) -> Result<String, ScenarioError> {
    let failed = |source| ScenarioError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(bytes_max + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > bytes_max {
        return Err(ScenarioError::TooLarge {
            path: path.to_owned(),
            bytes_max,
        });
    }
    Ok(text)
}

pub(crate) fn parse(text: &str, name: &str) -> Result<Scenario, ScenarioError> {
    let invalid = |faults| ScenarioError::Invalid {
        name: name.to_owned(),
        faults,
    };
    if text.len() as u64 > SCENARIO_BYTES_MAX {
        return Err(ScenarioError::TooLarge {
            path: name.into(),
            bytes_max: SCENARIO_BYTES_MAX,
        });
    }
    let scenario: Scenario =
        toml::from_str(text).map_err(|error| invalid(vec![not_toml(text, &error)]))?;
    let mut wrong = check::faults(&scenario);
    if scenario.nodes.is_empty() {
        // The platform may name them ([`crate::Surroundings`]); before a run they are asked for again.
        wrong.retain(|wrong| !(wrong.key.starts_with("chaos[") && wrong.key.ends_with("].target")));
    }
    if wrong.is_empty() {
        return Ok(scenario);
    }
    wrong.truncate(FAULTS_MAX);
    let root = DeTable::parse(text).map_err(|error| invalid(vec![not_toml(text, &error)]))?;
    let root = Spanned::new(root.span(), DeValue::Table(root.into_inner()));
    let located = wrong.into_iter().map(|wrong| {
        let (line, column) = position(text, span_of(&root, &wrong.key).start);
        Fault {
            line,
            column,
            message: wrong.to_string(),
        }
    });
    Err(invalid(located.collect()))
}

pub(crate) fn not_toml(text: &str, error: &toml::de::Error) -> Fault {
    let (line, column) = position(text, error.span().map_or(0, |span| span.start));
    Fault {
        line,
        column,
        message: error.message().trim().replace('\n', ", "),
    }
}

/// Line and column of a byte, both from 1.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (
        line,
        before.get(line_start..).unwrap_or("").chars().count() + 1,
    )
}

/// Where `arrivals[1].rate_per_s` stands; if it does not, the nearest table around it.
fn span_of(root: &Spanned<DeValue<'_>>, key: &str) -> Range<usize> {
    let mut at = root;
    for part in key.split(['.', '[']) {
        let next = match part.strip_suffix(']') {
            Some(index) => {
                let index: usize = index.parse().unwrap_or(usize::MAX);
                at.get_ref().as_array().and_then(|array| array.get(index))
            }
            None => at.get_ref().as_table().and_then(|table| table.get(part)),
        };
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    at.span()
}
