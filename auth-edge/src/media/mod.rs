//! Signed media URLs: a token in the path that says who may fetch which item, how long.

mod keyring;
mod keys;
mod pack;
mod signer;
mod store;
mod token;
mod verified;

pub use keyring::{KEYS_MAX, MediaKeyring, MediaTokenError};
pub use keys::{MediaAlgorithm, MediaKeyError, MediaKeyMaterial, NEVER_S};
pub use signer::{MediaSigner, TokenForm};
pub use store::{MediaKeyConfig, MediaKeyStore};
pub use token::{MediaGrant, TOKEN_CHARS_MAX};
