//! Tests of scenarios.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod allow;
mod document;
mod schedule;
mod surroundings;
mod traces;
mod users;
