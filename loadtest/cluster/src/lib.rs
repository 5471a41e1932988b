//! Starts, breaks and stops a whole MCSP of real processes on one machine.
//!
//! The demo, the end-to-end tests and the soaks all stand on [`Cluster`].

mod addresses;
mod certificates;
mod client;
mod cluster;
mod config;
mod error;
mod fleet;
pub mod kill_soak;
mod link;
mod manifests;
pub mod memory;
pub mod player;
mod ports;
mod process;
mod published;
mod topology;

pub use client::Client;
pub use cluster::{Cluster, Options};
pub use config::Moderation;
pub use error::ClusterError;
pub use fleet::{Fleet, FleetNode};
pub use link::Link;
pub use process::{Process, ProcessSpec};
pub use topology::{Layout, POPS, Pop, REGIONS, Region, TRUST_DOMAIN, bin_dir_of};
