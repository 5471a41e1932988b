//! What edges need to believe a viewer: access tokens, signed media URLs, revocations.
//!
//! Verifies access tokens and signs and verifies media URLs; never issues a user's token, never opens a connection.
//! Keys and revocations are pushed in by whoever holds the edge feed.

pub mod jose;
pub mod media;
mod memory;
mod revocation;
pub mod token;

pub use media::{
    AddressPrefix, MediaAccess, MediaAlgorithm, MediaGrant, MediaKeyConfig, MediaKeyError,
    MediaKeyMaterial, MediaKeyStore, MediaKeyring, MediaRequest, MediaSigner, MediaTokenError,
    MediaVerifier, RenditionLimits, Renewal, RenewalPolicy, TokenForm,
};
pub use revocation::{ENTRIES_MAX_DEFAULT as REVOCATIONS_MAX_DEFAULT, Revocations};
pub use token::{AccessClaims, KeySetError, TokenError, TokenPolicy, TokenVerifier, issuer_of};
