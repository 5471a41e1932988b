//! Starts, breaks and stops a whole MCSP of real processes on one machine.
//!
//! The demo, the end-to-end tests and the soaks all stand on [`Cluster`].

mod client;
mod cluster;
mod error;
mod link;
pub mod memory;
mod ports;
mod process;
mod topology;

pub use client::Client;
pub use cluster::{Cluster, Options};
pub use error::ClusterError;
pub use link::Link;
pub use process::{Process, ProcessSpec};
pub use topology::{Layout, POPS, Pop, REGIONS, Region, TRUST_DOMAIN, bin_dir_of};
