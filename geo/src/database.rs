//! Country by address, from a database in MaxMind's format.

use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use maxminddb::Reader;
use mcsp_pop_config::CountryCode;
use serde::Deserialize;
use thiserror::Error;

use crate::Position;

/// The largest database that is loaded, bytes.
pub const DATABASE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Why a database cannot be used.
#[derive(Debug, Error)]
pub enum GeoError {
    /// The file cannot be read.
    #[error("geo database {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no sound database.
    #[error("geo database {path} cannot be used: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl GeoError {
    /// May the same call succeed later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}

/// Where an address is, as far as the database knows.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Place {
    /// The country where the address is used; not where it is registered.
    pub country: Option<CountryCode>,
    /// Databases of cities know it.
    pub position: Option<Position>,
}

/// A country or city database (GeoIP2, GeoLite2, DB-IP) in memory. Lookups never block each other nor a reload.
#[derive(Debug)]
pub struct GeoDb {
    path: PathBuf,
    reader: ArcSwap<Reader<Vec<u8>>>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    country: Option<Country<'a>>,
    location: Option<Location>,
}

#[derive(Deserialize)]
struct Country<'a> {
    iso_code: Option<&'a str>,
}

#[derive(Deserialize)]
struct Location {
    latitude: Option<f64>,
    longitude: Option<f64>,
}

impl GeoDb {
    /// Loads and verifies a database. Blocks.
    ///
    /// # Errors
    /// [`GeoError`] when the file cannot be read, is larger than [`DATABASE_BYTES_MAX`], or is not sound.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, GeoError> {
        let path = path.into();
        let reader = load(&path)?;
        Ok(Self {
            path,
            reader: ArcSwap::from_pointee(reader),
        })
    }

    /// Loads the file again, for when it was replaced. Blocks.
    ///
    /// # Errors
    /// [`GeoError`]; the database loaded before stays in use.
    pub fn reload(&self) -> Result<(), GeoError> {
        self.reader.store(Arc::new(load(&self.path)?));
        Ok(())
    }

    /// The country of an address; `None` when it is not known, and then the address is not in Nigeria.
    #[must_use]
    pub fn country(&self, address: IpAddr) -> Option<CountryCode> {
        self.locate(address).country
    }

    /// What is known of an address. IPv4 addresses in IPv6 form (RFC 4291 section 2.5.5.2) are looked up as IPv4.
    #[must_use]
    pub fn locate(&self, address: IpAddr) -> Place {
        let reader = self.reader.load();
        let Ok(found) = reader.lookup(address.to_canonical()) else {
            return Place::default();
        };
        let Ok(Some(record)) = found.decode::<Record<'_>>() else {
            return Place::default();
        };
        Place {
            country: record
                .country
                .and_then(|country| country.iso_code)
                .and_then(|code| code.parse().ok()),
            position: record.location.and_then(|location| {
                Some(Position {
                    latitude: location.latitude?,
                    longitude: location.longitude?,
                })
            }),
        }
    }

    /// When the database was built, Unix seconds; for readiness and metrics.
    #[must_use]
    pub fn build_epoch_s(&self) -> u64 {
        self.reader.load().metadata().build_epoch
    }
}

pub(crate) fn load(path: &Path) -> Result<Reader<Vec<u8>>, GeoError> {
    let io = |source| GeoError::Io {
        path: path.to_owned(),
        source,
    };
    let invalid = |reason: String| GeoError::Invalid {
        path: path.to_owned(),
        reason,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(DATABASE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(io)?;
    if bytes.len() as u64 > DATABASE_BYTES_MAX {
        return Err(invalid(format!(
            "it is larger than {DATABASE_BYTES_MAX} bytes"
        )));
    }
    let reader = Reader::from_source(bytes).map_err(|error| invalid(error.to_string()))?;
    // A damaged tree would otherwise answer wrongly for some addresses only.
    reader
        .verify()
        .map_err(|error| invalid(error.to_string()))?;
    Ok(reader)
}
