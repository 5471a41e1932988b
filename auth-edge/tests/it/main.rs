//! Tests of edge authentication through its public interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod jwks;
mod media;
mod media_store;
mod support;
mod token;
mod token_attacks;
