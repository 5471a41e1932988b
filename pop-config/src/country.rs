//! Countries.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An ISO 3166-1 alpha-2 code, such as `NG`. Only its form is checked.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CountryCode([u8; 2]);

/// Why a text is no country code.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a country; expected two upper-case letters (ISO 3166-1 alpha-2), such as NG")]
pub struct CountryCodeError(String);

impl CountryCode {
    /// Nigeria, the one country where `NG` content may be.
    pub const NIGERIA: Self = Self(*b"NG");

    /// The code as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Two ASCII letters always are UTF-8.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for CountryCode {
    type Err = CountryCodeError;

    fn from_str(text: &str) -> Result<Self, CountryCodeError> {
        match text.as_bytes() {
            [a, b] if a.is_ascii_uppercase() && b.is_ascii_uppercase() => Ok(Self([*a, *b])),
            _ => Err(CountryCodeError(text.chars().take(32).collect())),
        }
    }
}

impl TryFrom<String> for CountryCode {
    type Error = CountryCodeError;

    fn try_from(text: String) -> Result<Self, CountryCodeError> {
        text.parse()
    }
}

impl From<CountryCode> for String {
    fn from(code: CountryCode) -> Self {
        code.as_str().to_owned()
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
