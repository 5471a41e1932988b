//! Tests of edge authentication through its public interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cat_attacks;
mod cat_claims;
mod cat_support;
mod jwks;
mod jwks_refresh;
mod media;
mod media_keys;
mod media_renewal;
mod media_store;
mod media_support;
mod partner_cat;
mod partner_config;
mod partner_renewal;
mod partner_support;
mod partner_uri;
mod partner_uri_support;
mod partner_uri_text;
mod rfc_vectors;
mod support;
mod token;
mod token_attacks;
mod token_forms;
mod token_memory;
mod wycheproof;
