//! Object storage from the outside: each engine against the contract, policies, TLS, crashes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod contract;
mod crash;
mod engine;
mod faulty;
mod http_api;
mod policy;
mod stage;
mod tls;
