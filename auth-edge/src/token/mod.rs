//! Access tokens: RFC 7519 JWTs signed by a region, verified here by its published keys.

mod claims;
mod error;
mod keys;
mod refresh;
mod verify;

pub use crate::jose::{JWKS_BYTES_MAX, KEYS_PER_SET_MAX as KEYS_PER_REGION_MAX, KeySetError};
pub use claims::AccessClaims;
pub use error::TokenError;
pub use refresh::{JwksFetch, JwksFetchError, JwksRefresher, RefreshConfig, RefreshConfigError};
pub use verify::{SKEW_S_MAX, TOKEN_BYTES_MAX, TokenPolicy, TokenVerifier};

/// The audience (`aud`) of every access token.
pub const AUDIENCE: &str = "mcsp-api";

/// The issuer (`iss`) of a region's tokens: `urn:mcsp:region:{region}`.
#[must_use]
pub fn issuer_of(region: &str) -> String {
    format!("urn:mcsp:region:{region}")
}
