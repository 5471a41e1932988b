//! Tests of edge authentication through its public interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod jwks;
mod jwks_refresh;
mod media;
mod media_renewal;
mod media_store;
mod partner_cat;
mod partner_support;
mod partner_uri;
mod rfc_vectors;
mod support;
mod token;
mod token_attacks;
mod token_memory;
mod wycheproof;
