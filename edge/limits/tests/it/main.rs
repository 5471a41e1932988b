//! The limits as the edge uses them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod concurrency;
mod exchange;
mod frames;
mod gossip;
mod limiter;
mod limits;
mod reload;
mod running;
mod support;
