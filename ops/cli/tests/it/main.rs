//! The `mcsp` program against a small platform that the test plays.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod account;
mod platform;
mod run;
mod show;
mod upload;
