//! The fetcher against upstreams that follow a script, byte for byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bodies;
mod failures;
mod harness;
mod heads;
mod http2;
mod mtls;
mod origin;
mod parents;
mod reuse;
