//! The URI in configuration that picks a storage engine.

use std::collections::BTreeMap;

use thiserror::Error;

/// A parsed engine URI, `scheme:rest?key=value`. `faulty:` wraps another URI: `faulty:sqlite:/a.db?seed=7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineUri {
    /// What picks the engine, such as `sqlite`.
    pub scheme: String,
    /// What follows the scheme's colon, without the query; a path or `//host:port/path`.
    pub rest: String,
    /// The query's parameters.
    pub params: BTreeMap<String, String>,
}

/// Why a string is not an engine URI, or names no engine.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EngineUriError {
    /// There is no `scheme:` in front.
    #[error("engine URI {uri:?} has no scheme; write for example \"sqlite:/var/lib/mcsp/auth.db\"")]
    NoScheme {
        /// The string that was given.
        uri: String,
    },
    /// No engine of this build answers to the scheme. Never a silent downgrade.
    #[error(
        "engine URI {uri:?}: no {kind} engine named {scheme:?} in this build; there are: {known}"
    )]
    Unknown {
        /// The string that was given.
        uri: String,
        /// Its scheme.
        scheme: String,
        /// The kind of engine, such as `relational`.
        kind: &'static str,
        /// The schemes that are compiled in.
        known: &'static str,
    },
    /// A parameter has a value that cannot be used.
    #[error("engine URI {uri:?}: parameter {name:?}: {reason}")]
    BadParameter {
        /// The string that was given.
        uri: String,
        /// The parameter's name.
        name: String,
        /// What was expected.
        reason: String,
    },
}

impl EngineUri {
    /// Parses `scheme:rest?key=value&…`.
    ///
    /// # Errors
    /// [`EngineUriError::NoScheme`] when there is no scheme of lower-case letters, digits, `+` and `-`.
    pub fn parse(uri: &str) -> Result<Self, EngineUriError> {
        let no_scheme = || EngineUriError::NoScheme {
            uri: uri.to_owned(),
        };
        let (scheme, rest) = uri.split_once(':').ok_or_else(no_scheme)?;
        let is_scheme_char =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '+' || c == '-';
        if scheme.is_empty() || !scheme.chars().all(is_scheme_char) {
            return Err(no_scheme());
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let params = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        Ok(Self {
            scheme: scheme.to_owned(),
            rest: rest.to_owned(),
            params,
        })
    }
}
