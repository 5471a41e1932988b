//! The PoP manifest: which PoPs and regions there are, where they are, whom they serve.
//!
//! A folder holds `regions.toml` and one `{id}.toml` for each PoP. It is read and checked as a whole; every fault names
//! the file, the key, the value and what was expected. Never runs a node.

mod country;
mod fault;
mod manifest;
mod region;
mod set;

pub use country::{CountryCode, CountryCodeError};
pub use fault::{Fault, PopConfigError};
pub use manifest::{PopManifest, Trust};
pub use region::RegionConfig;
pub use set::{FILE_BYTES_MAX, FILES_MAX, PopSet, REGIONS_FILE};
