//! Signed media URLs: a token in the path that says who may fetch which item, how long.
//!
//! Ours are [`MediaGrant`]s in a form of our own; partners' are Common Access Tokens (CTA-5007) and signed URIs (RFC 9246).
//! [`MediaVerifier`] takes all of them.

mod access;
mod address;
mod error;
mod keyring;
mod keys;
mod pack;
pub mod partner;
mod rendition;
mod renewal;
mod request;
mod signer;
mod store;
mod token;
mod verified;

pub use access::{MediaAccess, MediaVerifier, TokenKind};
pub use address::AddressPrefix;
pub use error::MediaTokenError;
pub use keyring::{KEYS_MAX, MediaKeyring};
pub use keys::{MediaAlgorithm, MediaKeyError, MediaKeyMaterial, NEVER_S};
pub use rendition::RenditionLimits;
pub use renewal::{
    Renewal, RenewalConfigError, RenewalDecision, RenewalPolicy, SESSION_LIFE_S_MAX,
};
pub use request::MediaRequest;
pub use signer::{MediaSigner, TokenForm};
pub use store::{MediaKeyConfig, MediaKeyStore};
pub use token::{MediaGrant, TOKEN_CHARS_MAX};
