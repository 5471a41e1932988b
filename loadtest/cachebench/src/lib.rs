//! The edge cache beside its peers: what the RFCs ask of a cache, what a hit costs, how often there is one.
//!
//! `cargo xtask conformance http-cache`, `bench edge-cache` and `bench hit-ratio` run the program of this crate.

pub mod client;
mod error;
pub mod origin;
pub mod public_suite;
pub mod report;
pub mod server;
pub mod suite;
pub mod wire;

pub use error::BenchError;
