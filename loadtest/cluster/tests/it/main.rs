//! The whole path, with real parts: processes, sockets, files, a browser.
//!
//! `cargo xtask test` builds the programs and says in `MCSP_TEST_…` where they are.

mod bad_input;
mod browser;
mod harness;
mod kill;
mod playback;
mod regions;
mod tokens;
