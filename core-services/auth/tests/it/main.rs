//! Tests of the auth service over its routes, on a real database and a real key-value store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api;
mod homes;
mod keys;
mod lockout;
mod login;
mod maintenance;
mod refresh;
mod regions;
mod register;
mod support;
