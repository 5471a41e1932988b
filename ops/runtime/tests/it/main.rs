//! What processes rely on when they start and stop.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod config;
mod engine_uri;
mod inputs;
mod shutdown;
