//! Where viewers are, which PoP is nearest, and where content may be. Opens no connection.

mod centroids;
mod database;
mod position;
pub mod residency;
mod steering;
pub mod testdb;

pub use database::{DATABASE_BYTES_MAX, GeoDb, GeoError, Place};
pub use mcsp_pop_config::{CountryCode, CountryCodeError};
pub use position::Position;
pub use steering::{Client, nearest};
