//! What a user's exchange tells, over memory and over loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod bounds;
mod framing;
mod h2;
mod phases;
mod support;
mod timer;
mod tls;
