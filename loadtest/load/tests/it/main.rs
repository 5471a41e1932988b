//! The program as people and other machines run it, against a platform of this process with planted faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod commands;
mod faults;
mod harm;
mod harness;
mod nodes;
mod refusals;
mod workers;
