//! What is wrong with a folder of manifests.

use std::fmt;

use thiserror::Error;

/// A value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, such as `los1.toml`.
    pub file: String,
    /// The key, such as `base_urls[0]`; empty when the file as a whole is meant.
    pub key: String,
    /// Its value, clipped.
    pub value: String,
    /// What was expected, or what is wrong.
    pub expected: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.file, self.expected)
        } else {
            write!(
                f,
                "{}: {} is {}; expected {}",
                self.file, self.key, self.value, self.expected
            )
        }
    }
}

/// Why a folder of manifests cannot be used: every fault that was found.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("PoP configuration cannot be used:\n{}", lines(.faults))]
pub struct PopConfigError {
    /// At least one.
    pub faults: Vec<Fault>,
}

impl PopConfigError {
    /// May the same files be taken later? Never: they have to change.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

fn lines(faults: &[Fault]) -> String {
    faults
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Collects the faults of one file.
#[derive(Debug)]
pub(crate) struct Faults<'a> {
    file: &'a str,
    found: &'a mut Vec<Fault>,
}

impl<'a> Faults<'a> {
    pub(crate) fn of(file: &'a str, found: &'a mut Vec<Fault>) -> Self {
        Self { file, found }
    }

    /// A value that is not what was expected.
    pub(crate) fn value(
        &mut self,
        key: impl Into<String>,
        value: &dyn fmt::Debug,
        expected: impl Into<String>,
    ) {
        self.found.push(Fault {
            file: self.file.to_owned(),
            key: key.into(),
            value: format!("{value:?}").chars().take(120).collect(),
            expected: expected.into(),
        });
    }

    /// Something wrong with the file as a whole.
    pub(crate) fn whole(&mut self, what: impl Into<String>) {
        self.found.push(Fault {
            file: self.file.to_owned(),
            key: String::new(),
            value: String::new(),
            expected: what.into(),
        });
    }
}
