//! The cache's contract, through the trait that pingora drives it by.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod completeness;
mod disk;
mod disk_faults;
mod disk_kill;
mod disk_support;
mod harness;
mod interleavings;
mod purges;
mod ranges;
