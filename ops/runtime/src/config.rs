//! Configuration: TOML, then environment overrides, unknown keys refused.

use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Toml};
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The exit status of a process whose configuration cannot be used (`EX_USAGE` of sysexits).
pub const EXIT_CONFIG: u8 = 64;

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key is unknown, missing or has a value that cannot be used.
    #[error("configuration {origin}: {reason}")]
    Invalid {
        /// The file or text the value came from.
        origin: String,
        /// The key, the value and what was expected, one line a fault.
        reason: String,
    },
}

/// Reads `path`, lets environment variables that begin with `env_prefix` override it (`MCSP_EDGE_ADMIN__ADDRESS`
/// sets `admin.address`: two underscores stand for a dot), and refuses unknown keys if `T` does
/// (`#[serde(deny_unknown_fields)]`).
///
/// # Errors
/// [`ConfigError::Read`] when the file cannot be read, [`ConfigError::Invalid`] with each fault otherwise.
pub fn load_config<T: DeserializeOwned>(path: &Path, env_prefix: &str) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    parse_config(&text, &path.display().to_string(), env_prefix)
}

/// [`load_config`] over a text that is already in memory; `origin` names it in errors.
///
/// # Errors
/// [`ConfigError::Invalid`] with each fault.
pub fn parse_config<T: DeserializeOwned>(
    text: &str,
    origin: &str,
    env_prefix: &str,
) -> Result<T, ConfigError> {
    let env = Env::prefixed(env_prefix).split("__");
    // The TOML parser's own message points at line and column, so it gets the first word.
    if let Err(error) = text.parse::<toml::Table>() {
        return Err(ConfigError::Invalid {
            origin: origin.to_owned(),
            reason: error.to_string(),
        });
    }
    Figment::new()
        .merge(Toml::string(text))
        .merge(env)
        .extract()
        .map_err(|errors| ConfigError::Invalid {
            origin: origin.to_owned(),
            reason: errors
                .into_iter()
                .map(|error| describe(&error, env_prefix))
                .collect::<Vec<_>>()
                .join("\n"),
        })
}

/// The key, what is wrong with its value, and where the value is when it is not in the file.
fn describe(error: &figment::Error, env_prefix: &str) -> String {
    let key = error.path.join(".");
    let from_env = error
        .metadata
        .as_ref()
        .is_some_and(|metadata| metadata.name.contains("environment"));
    let place = match from_env {
        true => format!(" (environment, {env_prefix}…)"),
        false => String::new(),
    };
    match key.as_str() {
        "" => format!("{}{place}", error.kind),
        key => format!("{key}: {}{place}", error.kind),
    }
}
