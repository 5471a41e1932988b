//! Signed media URLs: a token in the path that says who may fetch which item, how long.
//!
//! Ours are [`MediaGrant`]s in a form of our own; partners' are Common Access Tokens (CTA-5007) and signed URIs (RFC 9246).
//! [`MediaVerifier`] takes all of them.

mod address;
mod error;
mod keyring;
mod keys;
mod pack;
mod rendition;
mod signer;
mod store;
mod token;
mod verified;

pub use address::AddressPrefix;
pub use error::MediaTokenError;
pub use keyring::{KEYS_MAX, MediaKeyring};
pub use keys::{MediaAlgorithm, MediaKeyError, MediaKeyMaterial, NEVER_S};
pub use rendition::RenditionLimits;
pub use signer::{MediaSigner, TokenForm};
pub use store::{MediaKeyConfig, MediaKeyStore};
pub use token::{MediaGrant, TOKEN_CHARS_MAX};
