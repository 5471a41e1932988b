//! Tests of geography and residency through the public interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod database;
mod residency;
mod steering;
