//! The URI in configuration that picks a storage engine.

use std::collections::BTreeMap;

use thiserror::Error;

/// A parsed engine URI, `scheme:rest?key=value`. `faulty:` wraps another URI: `faulty:sqlite:/a.db?seed=7`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineUri {
    /// The URI as it was given.
    pub uri: String,
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
            uri: uri.to_owned(),
            scheme: scheme.to_owned(),
            rest: rest.to_owned(),
            params,
        })
    }

    /// Where another process serves its engine: `mcsp://host:port/server_name` is `host:port` and the name in that
    /// process's certificate.
    ///
    /// # Errors
    /// [`EngineUriError::BadParameter`] when a part is missing, or there are parameters, of which there are none.
    pub fn remote(&self) -> Result<(&str, &str), EngineUriError> {
        if let Some(name) = self.params.keys().next() {
            return Err(self.bad_parameter(name, "this engine takes no parameters"));
        }
        self.rest
            .strip_prefix("//")
            .and_then(|rest| rest.split_once('/'))
            .filter(|(address, server_name)| !address.is_empty() && !server_name.is_empty())
            .ok_or_else(|| self.bad_parameter("address", "expected mcsp://host:port/server_name"))
    }

    /// The error of a scheme that no engine of this build answers to; `kind` as `relational`, `known` the schemes there
    /// are.
    #[must_use]
    pub fn unknown_engine(&self, kind: &'static str, known: &'static str) -> EngineUriError {
        EngineUriError::Unknown {
            uri: self.uri.clone(),
            scheme: self.scheme.clone(),
            kind,
            known,
        }
    }

    /// The error of a parameter whose value cannot be used.
    #[must_use]
    pub fn bad_parameter(&self, name: &str, reason: impl Into<String>) -> EngineUriError {
        EngineUriError::BadParameter {
            uri: self.uri.clone(),
            name: name.to_owned(),
            reason: reason.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_is_an_address_and_a_name() {
        let remote = |uri: &str| {
            let uri = EngineUri::parse(uri).unwrap();
            uri.remote()
                .map(|(address, name)| format!("{address} {name}"))
        };
        let good = remote("mcsp://10.0.0.7:7443/origin.ng-lagos.mcsp.internal");
        assert_eq!(good.unwrap(), "10.0.0.7:7443 origin.ng-lagos.mcsp.internal");
        for bad in [
            "mcsp:host:1/name",
            "mcsp://host:1",
            "mcsp://host:1/",
            "mcsp:///name",
        ] {
            let error = remote(bad).unwrap_err().to_string();
            assert!(
                error.contains(bad) && error.contains("server_name"),
                "{error}"
            );
        }
        assert!(remote("mcsp://host:1/name?x=1").is_err());
    }
}
