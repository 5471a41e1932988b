//! The node as a process, as its parts, and beside another region's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod callers;
mod config;
mod endpoints;
mod process;
mod regions;
mod roles;
mod support;
mod telemetry;
