//! Autonomous system by address, from a database in MaxMind's format.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use maxminddb::Reader;
use serde::Deserialize;

use crate::database::{GeoError, load};

/// A database of autonomous systems (GeoLite2 ASN, GeoIP2 ISP, DB-IP ASN) in memory. Lookups never block each other nor a
/// reload.
#[derive(Debug)]
pub struct AsnDb {
    path: PathBuf,
    reader: ArcSwap<Reader<Vec<u8>>>,
}

#[derive(Deserialize)]
struct Record {
    autonomous_system_number: Option<u32>,
}

impl AsnDb {
    /// Loads and verifies a database. Blocks.
    ///
    /// # Errors
    /// [`GeoError`] when the file cannot be read, is larger than [`crate::DATABASE_BYTES_MAX`], or is not sound.
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

    /// The number of the system that announces the address; `None` when it is not known. IPv4 addresses in IPv6 form (RFC
    /// 4291 section 2.5.5.2) are looked up as IPv4.
    #[must_use]
    pub fn asn(&self, address: IpAddr) -> Option<u32> {
        let reader = self.reader.load();
        let found = reader.lookup(address.to_canonical()).ok()?;
        found.decode::<Record>().ok()??.autonomous_system_number
    }
}
