//! Signed JSON (RFC 7515) as narrowly as it can be read: one serialization, algorithms bound to keys, no key but ours.
//!
//! Both access tokens and the signed URIs of partners (RFC 9246) stand on this, so there is one place for the attacks of
//! RFC 8725 to fail at.

mod jwe;
mod jwk;
mod jws;
mod weak_rsa;

pub use jwe::{JweError, JweKey};
pub use jwk::{JWKS_BYTES_MAX, KEYS_PER_SET_MAX, KeySetError, KeyUse, parse_key_set};
pub use jws::{CompactJws, HeaderRules, JwsError, JwsKey};

pub(crate) use jwk::KID_BYTES_MAX;
