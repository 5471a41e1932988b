//! Signing of media tokens, by regions only.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::Ed25519KeyPair;
use mcsp_api::RegionCode;

use super::keys::{KEY_ID_BYTES, MediaAlgorithm, MediaKeyError};
use super::token::{CONTEXT, MediaGrant, payload, to_text};

/// Which signature a token bears: what the nodes that will see it can verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenForm {
    /// For our own nodes in the region.
    Hmac,
    /// For nodes that must not be able to sign: partners', and those of other regions.
    Ed25519,
}

/// The keys that sign now; replaced as a whole when the store rotates.
pub(super) struct SigningKeys {
    pub(super) hmac_id: [u8; KEY_ID_BYTES],
    pub(super) hmac: hmac::Key,
    pub(super) ed25519_id: [u8; KEY_ID_BYTES],
    pub(super) ed25519: Ed25519KeyPair,
}

/// Signs for the content of one region, with the current key of the [`super::MediaKeyStore`] it came from, and follows its rotations.
#[derive(Clone)]
pub struct MediaSigner {
    region: RegionCode,
    keys: Arc<ArcSwap<SigningKeys>>,
}

impl fmt::Debug for MediaSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaSigner")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl MediaSigner {
    pub(super) fn new(region: RegionCode, keys: Arc<ArcSwap<SigningKeys>>) -> Self {
        Self { region, keys }
    }

    /// A token for the grant.
    ///
    /// # Errors
    /// [`MediaKeyError::OtherRegion`] when the item's home is another region; [`MediaKeyError::Signing`] when the cryptographic library fails.
    pub fn sign(&self, grant: &MediaGrant, form: TokenForm) -> Result<String, MediaKeyError> {
        if grant.content_id.region() != self.region {
            return Err(MediaKeyError::OtherRegion {
                content_id: grant.content_id.clone(),
                region: self.region,
            });
        }
        let keys = self.keys.load();
        let (algorithm, key_id) = match form {
            TokenForm::Hmac => (MediaAlgorithm::HmacSha256, keys.hmac_id),
            TokenForm::Ed25519 => (MediaAlgorithm::Ed25519, keys.ed25519_id),
        };
        let payload = payload(grant, algorithm, key_id).ok_or(MediaKeyError::Signing)?;
        let message = [CONTEXT, &payload].concat();
        Ok(match form {
            TokenForm::Hmac => to_text(payload, hmac::sign(&keys.hmac, &message).as_ref()),
            TokenForm::Ed25519 => {
                let signature = keys
                    .ed25519
                    .try_sign(&message)
                    .map_err(|_| MediaKeyError::Signing)?;
                to_text(payload, signature.as_ref())
            }
        })
    }
}
