//! The playback service from the outside: entitlement, placement, tokens, revocation, with real engines.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod openapi;
mod outages;
mod play;
mod revoke;
mod stage;
