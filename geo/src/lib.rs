//! Where viewers are, whose network they are in, which PoP is nearest, and where content may be. Opens no connection.

mod centroids;
mod database;
mod position;
pub mod residency;
mod steering;
mod systems;
pub mod testdb;

pub use database::{DATABASE_BYTES_MAX, GeoDb, GeoError, Place};
pub use mcsp_pop_config::{CountryCode, CountryCodeError};
pub use position::Position;
pub use steering::{Client, nearest};
pub use systems::AsnDb;
