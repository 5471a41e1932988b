//! The playback service's own configuration.

use mcsp_pop_config::CountryCode;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A key whose value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("playback.{key} = {value}: expected {expected}")]
pub struct PlaybackConfigError {
    key: &'static str,
    value: String,
    expected: &'static str,
}

/// `[playback]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlaybackConfig {
    /// How long a signed media URL is good, seconds: 60 to 86 400; default 3 600.
    pub url_life_s: u32,
    /// How long a session may go on by renewals of its URL at the edge, seconds: `url_life_s` to 86 400; default 43 200. The
    /// edges' `session_life_s` must not be more: a revocation is held until then, and could be outlived.
    pub session_life_s: u32,
    /// Countries whose viewers are refused, ISO 3166-1 alpha-2; default none, at most 250. A viewer whose country is
    /// not known is not refused.
    pub countries_refused: Vec<CountryCode>,
}

impl Default for PlaybackConfig {
    fn default() -> Self {
        Self {
            url_life_s: 3_600,
            session_life_s: 43_200,
            countries_refused: Vec::new(),
        }
    }
}

impl PlaybackConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// The first key whose value cannot be used.
    pub fn validate(&self) -> Result<(), PlaybackConfigError> {
        if !(60..=86_400).contains(&self.url_life_s) {
            return Err(PlaybackConfigError {
                key: "url_life_s",
                value: self.url_life_s.to_string(),
                expected: "60 to 86400",
            });
        }
        if !(self.url_life_s..=86_400).contains(&self.session_life_s) {
            return Err(PlaybackConfigError {
                key: "session_life_s",
                value: self.session_life_s.to_string(),
                expected: "url_life_s to 86400",
            });
        }
        if self.countries_refused.len() > 250 {
            return Err(PlaybackConfigError {
                key: "countries_refused",
                value: format!("{} entries", self.countries_refused.len()),
                expected: "at most 250 countries",
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_faults_name_the_key() {
        PlaybackConfig::default().validate().expect("defaults");
        let config = PlaybackConfig {
            url_life_s: 5,
            ..PlaybackConfig::default()
        };
        assert_eq!(
            config.validate().expect_err("too short").to_string(),
            "playback.url_life_s = 5: expected 60 to 86400"
        );
        let config = PlaybackConfig {
            session_life_s: 3_599,
            ..PlaybackConfig::default()
        };
        assert_eq!(
            config
                .validate()
                .expect_err("shorter than a URL")
                .to_string(),
            "playback.session_life_s = 3599: expected url_life_s to 86400"
        );
    }
}
