//! The token's layout.
//!
//! Base64url without padding (RFC 4648 section 5) of these bytes, numbers big-endian:
//!
//! | at | bytes | what |
//! | --- | --- | --- |
//! | 0 | 1 | version, 1 |
//! | 1 | 1 | algorithm: 1 HMAC-SHA-256 (RFC 2104), 2 Ed25519 (RFC 8032) |
//! | 2 | 1 | flags: bit 0 residency is `NG`, bit 1 media type is `AUDIO`, bit 2 bound to client addresses; the others are 0 |
//! | 3 | 8 | key id |
//! | 11 | 8 | expiry, Unix seconds |
//! | 19 | 2 | highest rate of sound allowed, kb/s; 0 for no limit |
//! | 21 | 2 | highest picture allowed, pixels; 0 for no limit |
//! | 23 | 19 | content id |
//! | 42 | 19 | user id |
//! | 61 | 19 | media session id |
//! | 80 | 0 or 17 | with bit 2, the length of the prefix and the address, IPv4 as IPv6 |
//! | 80 or 97 | 32 or 64 | MAC or signature over [`CONTEXT`] and everything before |
//!
//! 150 characters with HMAC, 192 with Ed25519, 22 or 23 more when bound. Each grant has one form, and the decoder refuses every other, so a token
//! cannot be altered in any character and still be good.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcsp_api::events::MediaType;
use mcsp_api::{ContentId, MediaSessionId, RegionCode, Residency, UserId};

use super::address::{AddressPrefix, PREFIX_BYTES};
use super::keys::{KEY_ID_BYTES, MediaAlgorithm};
use super::pack::{ID_BYTES, pack, unpack};
use super::rendition::RenditionLimits;

/// The longest token, characters.
pub const TOKEN_CHARS_MAX: usize = 215;

/// Precedes the signed bytes, so that no signature made with the same key for another purpose fits.
pub(super) const CONTEXT: &[u8] = b"mcsp media token v1\0";
/// How many bytes are signed, [`CONTEXT`] and a binding aside.
const PAYLOAD_BYTES: usize = 80;

const VERSION: u8 = 1;
const FLAG_NG: u8 = 1;
const FLAG_AUDIO: u8 = 2;
const FLAG_BOUND: u8 = 4;
const CONTENT_AT: usize = 23;
const USER_AT: usize = CONTENT_AT + ID_BYTES;
const SESSION_AT: usize = USER_AT + ID_BYTES;

/// What a media token allows: this viewer, in this session, may fetch this item until then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaGrant {
    /// The item.
    pub content_id: ContentId,
    /// The viewer.
    pub user_id: UserId,
    /// The session, for revocation.
    pub media_session_id: MediaSessionId,
    /// Where the item's bytes may be.
    pub residency: Residency,
    /// What the item is.
    pub media_type: MediaType,
    /// From this second on the token is void, Unix seconds.
    pub expires_s: i64,
    /// What the viewer's plan allows at most.
    pub limits: RenditionLimits,
    /// The only addresses it may be used from; `None` for any.
    pub client: Option<AddressPrefix>,
}

impl MediaGrant {
    /// May this client use it? One whose address is not known may not use a token that is bound.
    #[must_use]
    pub fn allows_client(&self, client: Option<IpAddr>) -> bool {
        self.client
            .is_none_or(|prefix| client.is_some_and(|client| prefix.contains(client)))
    }
}

/// A token taken apart, nothing of it verified.
#[derive(Debug)]
pub(super) struct RawToken {
    pub(super) algorithm: MediaAlgorithm,
    pub(super) key_id: [u8; KEY_ID_BYTES],
    bytes: Vec<u8>,
    payload_bytes: usize,
}

impl RawToken {
    pub(super) fn parse(token: &str) -> Option<Self> {
        if token.len() > TOKEN_CHARS_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let algorithm = match bytes.get(..2)? {
            [VERSION, 1] => MediaAlgorithm::HmacSha256,
            [VERSION, 2] => MediaAlgorithm::Ed25519,
            _ => return None,
        };
        let is_bound = bytes.get(2)? & FLAG_BOUND != 0;
        let payload_bytes = PAYLOAD_BYTES + if is_bound { PREFIX_BYTES } else { 0 };
        if bytes.len() != payload_bytes + algorithm.signature_bytes() {
            return None;
        }
        Some(Self {
            payload_bytes,
            algorithm,
            key_id: bytes.get(3..11)?.try_into().ok()?,
            bytes,
        })
    }

    /// The home region of the content id, by which the key is chosen. It is among the bytes that are signed.
    pub(super) fn content_region(&self) -> Option<RegionCode> {
        let code = self.bytes.get(CONTENT_AT..CONTENT_AT + 2)?;
        std::str::from_utf8(code).ok()?.parse().ok()
    }

    /// What is signed.
    pub(super) fn message(&self) -> Vec<u8> {
        [CONTEXT, &self.bytes[..self.payload_bytes]].concat()
    }

    pub(super) fn signature(&self) -> &[u8] {
        &self.bytes[self.payload_bytes..]
    }

    /// The grant; called after the signature was verified.
    pub(super) fn grant(&self) -> Option<MediaGrant> {
        let flags = self.bytes[2];
        if flags & !(FLAG_NG | FLAG_AUDIO | FLAG_BOUND) != 0 {
            return None;
        }
        let client = match self.bytes.get(PAYLOAD_BYTES..self.payload_bytes)? {
            [] => None,
            bound => Some(AddressPrefix::from_bytes(bound.try_into().ok()?)?),
        };
        let number_at = |at: usize| {
            let bytes = self.bytes.get(at..at + 2)?.try_into().ok()?;
            Some(u32::from(u16::from_be_bytes(bytes)))
        };
        let id_at = |at: usize| self.bytes.get(at..at + ID_BYTES)?.try_into().ok();
        Some(MediaGrant {
            content_id: unpack("c", &id_at(CONTENT_AT)?)?,
            user_id: unpack("u", &id_at(USER_AT)?)?,
            media_session_id: unpack("ms", &id_at(SESSION_AT)?)?,
            residency: if flags & FLAG_NG == 0 {
                Residency::Global
            } else {
                Residency::Ng
            },
            media_type: if flags & FLAG_AUDIO == 0 {
                MediaType::Video
            } else {
                MediaType::Audio
            },
            expires_s: i64::from_be_bytes(self.bytes.get(11..19)?.try_into().ok()?),
            limits: RenditionLimits {
                max_audio_kbps: number_at(19)?,
                max_height: number_at(21)?,
            },
            client,
        })
    }
}

/// The bytes that are signed, [`CONTEXT`] aside; `None` for limits beyond 65 535.
pub(super) fn payload(
    grant: &MediaGrant,
    algorithm: MediaAlgorithm,
    key_id: [u8; KEY_ID_BYTES],
) -> Option<Vec<u8>> {
    let mut flags = 0;
    if grant.residency == Residency::Ng {
        flags |= FLAG_NG;
    }
    if grant.media_type == MediaType::Audio {
        flags |= FLAG_AUDIO;
    }
    if grant.client.is_some() {
        flags |= FLAG_BOUND;
    }
    let algorithm = match algorithm {
        MediaAlgorithm::HmacSha256 => 1,
        MediaAlgorithm::Ed25519 => 2,
    };
    let mut bytes = Vec::with_capacity(PAYLOAD_BYTES + PREFIX_BYTES + 64);
    bytes.extend_from_slice(&[VERSION, algorithm, flags]);
    bytes.extend_from_slice(&key_id);
    bytes.extend_from_slice(&grant.expires_s.to_be_bytes());
    for limit in [grant.limits.max_audio_kbps, grant.limits.max_height] {
        bytes.extend_from_slice(&u16::try_from(limit).ok()?.to_be_bytes());
    }
    for id in [
        grant.content_id.as_str(),
        grant.user_id.as_str(),
        grant.media_session_id.as_str(),
    ] {
        bytes.extend_from_slice(&pack(id)?);
    }
    if let Some(client) = grant.client {
        bytes.extend_from_slice(&client.to_bytes());
    }
    Some(bytes)
}

pub(super) fn to_text(mut payload: Vec<u8>, signature: &[u8]) -> String {
    payload.extend_from_slice(signature);
    URL_SAFE_NO_PAD.encode(payload)
}
