//! The event log and its users, from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

extern crate mcsp_origin_events as mcsp_events;

mod consumer;
mod contract;
mod engine;
mod jobs;
mod kill;
mod open;
mod outbox;
mod remote;
mod simulation;
mod support;
