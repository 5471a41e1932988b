//! The engine from outside: rules in text, requests in parts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod beside;
mod bodies;
mod budget;
mod crs;
mod errors;
mod guard;
mod lane;
mod lane_rules;
mod let_through;
mod ordinary;
mod own;
mod properties;
mod regression;
mod rules;
mod support;
