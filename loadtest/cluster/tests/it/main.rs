//! The whole path, with real parts: processes, sockets, files, a browser.
//!
//! `cargo xtask test` builds the programs and says in `MCSP_TEST_…` where they are.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)] // A test says what is wrong by panicking.

mod bad_input;
mod browser;
mod demo;
mod harness;
mod kill;
mod playback;
mod purge;
mod regions;
mod tabs;
mod tokens;
