//! The edge cache beside its peers: what the RFCs ask of a cache, what a hit costs, how often there is one.
//!
//! `cargo xtask conformance http-cache`, `bench edge-cache` and `bench hit-ratio` run the program of this crate.

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
mod sized;
pub mod suite;
pub mod wire;

pub use error::BenchError;
