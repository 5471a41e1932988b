//! The crate's integration tests, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod bodies;
mod conformance;
mod conformance_refused;
mod deadlines;
mod lending;
mod loopback;
mod lying;
mod oddities;
mod parting;
mod settings;
mod site;
mod splits;
mod writes;
