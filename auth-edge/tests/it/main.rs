//! Tests of edge authentication through its public interface.

mod jwks;
mod media;
mod media_store;
mod support;
mod token;
mod token_attacks;
