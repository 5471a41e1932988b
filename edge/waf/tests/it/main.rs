//! The engine from outside: rules in text, requests in parts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bodies;
mod budget;
mod errors;
mod properties;
mod regression;
mod rules;
mod support;
