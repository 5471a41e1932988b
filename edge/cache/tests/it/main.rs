//! The cache's contract.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod collapse;
mod disk;
mod disk_engine;
mod disk_faults;
mod disk_kill;
mod disk_support;
mod fills;
mod holes;
mod legacy;
mod purging;
mod support;
