//! The node as a process, against origins that the tests play over mTLS.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api;
mod cache;
mod command_line;
mod feed;
mod harness;
mod lifecycle;
mod residency;
mod storage;
mod tls;
mod tokens;
