//! Where an item's bytes may be.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Decided once at upload and never changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Residency {
    /// Anywhere.
    Global,
    /// In Nigeria only: staging, renditions, manifests, art, metadata, caches and logs.
    Ng,
}

/// Why a text names no residency.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is not a residency; expected GLOBAL or NG (ng or global in paths)")]
pub struct ResidencyError(String);

impl Residency {
    /// `GLOBAL` or `NG`, as the API writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Global => "GLOBAL",
            Self::Ng => "NG",
        }
    }

    /// `global` or `ng`, as object names and media paths begin.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Ng => "ng",
        }
    }

    /// The residency whose object names begin with `prefix`.
    ///
    /// # Errors
    /// When it is neither `global` nor `ng`.
    pub fn from_prefix(prefix: &str) -> Result<Self, ResidencyError> {
        match prefix {
            "global" => Ok(Self::Global),
            "ng" => Ok(Self::Ng),
            other => Err(ResidencyError(other.chars().take(32).collect())),
        }
    }

    /// May bytes of this residency be in the country with this ISO 3166-1 alpha-2 code, even in memory? An unknown
    /// country is not Nigeria.
    #[must_use]
    pub fn allows_country(self, country: Option<&str>) -> bool {
        match self {
            Self::Global => true,
            Self::Ng => country == Some("NG"),
        }
    }
}

impl FromStr for Residency {
    type Err = ResidencyError;

    fn from_str(text: &str) -> Result<Self, ResidencyError> {
        match text {
            "GLOBAL" => Ok(Self::Global),
            "NG" => Ok(Self::Ng),
            other => Err(ResidencyError(other.chars().take(32).collect())),
        }
    }
}

impl fmt::Display for Residency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
