//! The upload service from the outside: routes, object storage, two regions, faults, with real engines.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod create;
mod faults;
mod finish;
mod openapi;
mod reconcile;
mod regions;
mod stage;
