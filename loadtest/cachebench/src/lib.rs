//! The edge cache beside its peers: what the RFCs ask of a cache, what a hit costs, how often there is one; and what the shield in
//! front of it costs, and is worth.
//!
//! `cargo xtask conformance http-cache`, `bench edge-cache`, `bench hit-ratio` and `bench shield` run the program of this crate.

pub mod bench;
pub mod client;
pub mod drip;
mod error;
pub mod hit_ratio;
pub mod origin;
pub mod public_suite;
mod random;
mod region;
pub mod report;
pub mod server;
pub mod shield;
mod sized;
pub mod suite;
pub mod wire;

pub use error::BenchError;
