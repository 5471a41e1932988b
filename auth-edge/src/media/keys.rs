//! Keys of media tokens, as the edge feed carries them.

use std::fmt;

use mcsp_api::{ContentId, RegionCode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Key ids are 8 bytes, 16 lower-case hexadecimal digits as text.
pub(super) const KEY_ID_BYTES: usize = 8;
/// HMAC keys and Ed25519 public keys have this many bytes.
pub(super) const KEY_BYTES: usize = 32;

/// The `not_after_s` of a key whose end is not decided yet.
pub const NEVER_S: i64 = i64::MAX;

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MediaAlgorithm {
    /// RFC 2104 with SHA-256: whoever can verify can sign. For our own nodes in the key's region.
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    /// RFC 8032: nodes hold the public key and cannot sign. For all others.
    #[serde(rename = "ed25519")]
    Ed25519,
}

impl MediaAlgorithm {
    /// As the edge feed writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::Ed25519 => "ed25519",
        }
    }

    /// Reads what [`Self::as_str`] writes.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::HmacSha256, Self::Ed25519]
            .into_iter()
            .find(|algorithm| algorithm.as_str() == name)
    }

    pub(super) fn signature_bytes(self) -> usize {
        match self {
            Self::HmacSha256 => 32,
            Self::Ed25519 => 64,
        }
    }
}

/// What verifies tokens with one key id: an HMAC secret or an Ed25519 public key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MediaKeyMaterial {
    /// Whose content it signs for; tokens for any other region's are not verified with it.
    pub region: RegionCode,
    /// 16 lower-case hexadecimal digits.
    pub key_id: String,
    /// What the key is for, and nothing else.
    pub algorithm: MediaAlgorithm,
    /// 32 bytes. Secret when the algorithm is HMAC.
    pub key: Vec<u8>,
    /// Not used before, Unix seconds.
    pub not_before_s: i64,
    /// Not used from then on, Unix seconds; [`NEVER_S`] while the end is open.
    pub not_after_s: i64,
}

impl fmt::Debug for MediaKeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaKeyMaterial")
            .field("region", &self.region)
            .field("key_id", &self.key_id)
            .field("algorithm", &self.algorithm)
            .field("not_before_s", &self.not_before_s)
            .field("not_after_s", &self.not_after_s)
            .finish_non_exhaustive()
    }
}

/// Why keys cannot be used, stored or made.
#[derive(Debug, Error)]
pub enum MediaKeyError {
    /// The key's id or length is wrong.
    #[error("media key {key_id:?} refused: {reason}")]
    BadKey {
        /// The id that was given.
        key_id: String,
        /// What was expected.
        reason: &'static str,
    },
    /// More live keys of a region than are ever needed.
    #[error("too many media keys: at most {max} of a region are held at once")]
    TooMany {
        /// The bound.
        max: usize,
    },
    /// A setting cannot be used.
    #[error("media keys: {key} is {value}; expected {expected}")]
    Config {
        /// The setting.
        key: &'static str,
        /// Its value.
        value: String,
        /// What was expected.
        expected: &'static str,
    },
    /// The key file cannot be read or written.
    #[error("media key file {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The key file does not hold what it should. It is never replaced silently: tokens in use depend on it.
    #[error("media key file {path} cannot be used: {reason}")]
    Corrupt {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The item's home is another region; only that one signs for it.
    #[error("{content_id} cannot be signed for by region {region}: it is not the item's home")]
    OtherRegion {
        /// The item.
        content_id: ContentId,
        /// Whose keys were asked to sign.
        region: RegionCode,
    },
    /// The cryptographic library failed.
    #[error("media token could not be signed")]
    Signing,
}

impl MediaKeyError {
    /// May the same call succeed later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::TooMany { .. } | Self::Signing)
    }
}

pub(super) fn key_id_bytes(key_id: &str) -> Option<[u8; KEY_ID_BYTES]> {
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if key_id.len() != KEY_ID_BYTES * 2 || !key_id.bytes().all(is_digit) {
        return None;
    }
    u64::from_str_radix(key_id, 16).ok().map(u64::to_be_bytes)
}
